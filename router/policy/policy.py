"""tierqueue.toml as a ``Policy``: tiers, deployments, prices, rules and starting ceilings."""

import tomllib
from hashlib import sha256
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.item import TIERS, Demands, Purpose, Risk, Sensitivity, Tier
from tierqueue.router.policy.defaults import BudgetPolicy, FloorRule, TaskDefaults, floor_of
from tierqueue.router.policy.deployment import Deployment, Limits, whose
from tierqueue.router.policy.engine_keys import BLIND
from tierqueue.router.policy.policy_errors import (
    complaint,
    dotted,
    nearest,
    nth,
    placed,
    there_is_no,
)
from tierqueue.router.policy.prices import Flag, Name, Table
from tierqueue.router.policy.tables import (
    CeilingRule,
    HookPolicy,
    RetentionPolicy,
    RetryPolicy,
    TierPolicy,
    WarningPolicy,
)
from tierqueue.router.redaction.rules import Redaction


class Policy(Table):
    """A whole tierqueue.toml, checked."""

    digest: str
    """Names its text in prices and receipts; filled in."""

    folder: str = ""
    """Where the files lie that it names by a relative path; filled in. Empty: where the process
    works."""

    allow_simulated: Flag = False
    """Deployments may be ``simulated``. Without it a policy that has one is refused."""

    ceilings_count: Literal["cash", "everything"] = "cash"
    """What counts towards ceilings and ``max_cost``. ``cash``: what leaves an account, so nothing
    of deployments with ``gpu_hour``, whose hours are paid whether they are used or not.
    ``everything``: their share of the hour too; so much of it is held as calls of the task type
    have taken, and the deployment's ``timeout`` where too little is known."""

    default_sensitivity: Sensitivity | None = None
    """The sensitivity of items that state none and whose task type states none; without it,
    ``regulated``."""

    allow_regulated_by_name: Flag = False
    """A call by name may carry regulated data. Its payload passes the broker, so that it is refused
    unless the broker is yours and this says so."""

    tiers: dict[Tier, TierPolicy] = Field(default_factory=dict)
    """How much of a tier runs at once."""

    deployments: dict[Name, Deployment] = Field(default_factory=dict)
    """The ways to have work done, by name."""

    tasks: dict[Name, TaskDefaults] = Field(default_factory=dict)
    """What items of a task type demand where they do not say, by the task type's name."""

    accounts: dict[Name, Limits] = Field(default_factory=dict)
    """What a provider's account allows over all deployments that name it, by its name."""

    budgets: dict[Name, BudgetPolicy] = Field(default_factory=dict)
    """How budgets share a tier and what they may be called for, by the budget's name; one that is
    not named weighs 1."""

    redaction: dict[str, Redaction] = Field(default_factory=dict)
    """What is sent under a pseudonym to a data boundary, by its name; ``vendor:*`` is all vendors'
    that are not named."""

    floors: tuple[FloorRule, ...] = ()
    """Tiers below which some work is never done."""

    ceilings: tuple[CeilingRule, ...] = ()
    """What may be spent."""

    retry: RetryPolicy = RetryPolicy()
    """When work is tried again."""

    retention: RetentionPolicy = RetentionPolicy()
    """How long payloads are kept."""

    warnings: WarningPolicy = WarningPolicy()
    """When ceilings warn."""

    hooks: HookPolicy = HookPolicy()
    """Who is told."""

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def audited(self) -> dict[str, str]:
        """Rules and surrogates by their versions, each with its task type's name."""
        return {
            stated.version: task
            for task, usual in self.tasks.items()
            for stated in (usual.rules, usual.surrogate)
            if stated is not None
        }

    @property
    def prompts(self) -> dict[str, str]:
        """The instructions beside task types' own, by their versions."""
        named = (usual.prompt for usual in self.tasks.values())
        return {prompt.version: prompt.system for prompt in named if prompt is not None}

    @property
    def simulated(self) -> frozenset[str]:
        """The deployments whose money and answers are made up."""
        return frozenset(name for name, one in self.deployments.items() if one.simulated)

    @property
    def predictors(self) -> list[str]:
        """The versions of the predictors that task types name."""
        named = (usual.predictor for usual in self.tasks.values())
        return sorted({predictor.version for predictor in named if predictor is not None})

    @property
    def interactive_within(self) -> dict[Tier, float]:
        """The seconds of each tier that states how soon it answers somebody who waits."""
        stated = {tier: kept.interactive_within for tier, kept in self.tiers.items()}
        return {tier: most for tier, most in stated.items() if most is not None}

    def place_of(self, file: str) -> str:
        """Where a file lies that the policy names: a relative path is one from its folder."""
        return file if file.startswith("/") or not self.folder else f"{self.folder}/{file}"

    def counts(self, deployment: Deployment) -> bool:
        """Whether what a call of the deployment costs counts towards ceilings and ``max_cost``."""
        return self.ceilings_count == "everything" or deployment.gpu_hour is None

    def limits_of(self, scope: str) -> Limits:
        """What is stated of a deployment, ``account:NAME`` or ``budget:NAME``, if anything."""
        kind, name = whose(scope)
        if kind == "account":
            return self.accounts.get(name, _NO_LIMITS)
        found = (self.deployments if kind == "deployment" else self.budgets).get(name)
        return _NO_LIMITS if found is None else found.limits

    @model_validator(mode="after")
    def _shares_accounts(self) -> Self:
        named = {one.account for one in self.deployments.values() if one.account is not None}
        for name, deployment in self.deployments.items():
            if deployment.account not in {None, *self.accounts}:
                wrong = there_is_no("account", deployment.account or "", self.accounts)
                raise ValueError(f"{dotted('deployments', name, 'account')}: {wrong}")
        for name in self.accounts.keys() - named:
            named_by = "no deployment says that it is of this account"
            raise ValueError(f"{dotted('accounts', name)}: {named_by}")
        return self

    @model_validator(mode="after")
    def _redacts(self) -> Self:
        boundaries = {deployment.boundary for deployment in self.deployments.values()}
        for name in self.redaction.keys() - boundaries - {"vendor:*"}:
            unknown = there_is_no("boundary", name, boundaries)
            raise ValueError(f"{dotted('redaction', name)}: {unknown}")
        for name, deployment in self.deployments.items():
            every = self.redaction.get("vendor:*") if deployment.metered else None
            rules = self.redaction.get(deployment.boundary, every)
            if deployment.redact is None and rules is not None:
                if deployment.vision:
                    raise ValueError(f"{dotted('deployments', name)}: {BLIND}")
                self.deployments[name] = deployment.model_copy(update={"redact": rules})
        return self

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.simulated and not self.allow_simulated:
            raise ValueError(
                f"{dotted('deployments', min(self.simulated))} is simulated:"
                " say allow_simulated = true at the top, or take it out"
            )
        for task, usual in self.tasks.items():
            self._fall_somewhere(task, usual)
            self._seconds_are_bounded(task, usual)
        known: dict[str, set[str]] = {
            "tier": {tier.value for tier in TIERS},
            "deployment": set(self.deployments),
            "provider": {deployment.provider for deployment in self.deployments.values()},
            "purpose": {purpose.value for purpose in Purpose},
        }
        for number, rule in enumerate(self.ceilings):
            names = known.get(rule.scope)
            if names is not None and rule.name not in names | {"*"}:
                raise ValueError(
                    f"name of the {nth(number)} [[ceilings]]: there is no {rule.scope}"
                    f" {rule.name!r}{nearest(rule.name, names)}"
                )
        return self

    def _seconds_are_bounded(self, task: str, usual: TaskDefaults) -> None:
        """What answers a second time is there, and costs no more than somebody stated."""
        if usual.shadow is not None and usual.shadow.deployment not in self.deployments:
            unknown = there_is_no("deployment", usual.shadow.deployment, self.deployments)
            raise ValueError(f"{dotted('tasks', task, 'shadow', 'deployment')}: {unknown}")
        bounded = {rule.name for rule in self.ceilings if rule.scope == "purpose"}
        stated = {"explore": Purpose.EXPLORATION, "shadow": Purpose.SHADOW}
        for key, purpose in stated.items():
            if getattr(usual, key) is not None and not bounded & {"*", purpose.value}:
                raise ValueError(
                    f"{dotted('tasks', task, key)}: nothing bounds what it costs: state"
                    f' [[ceilings]] with scope = "purpose", name = "{purpose.value}" and a limit'
                )

    def _fall_somewhere(self, task: str, usual: TaskDefaults) -> None:
        """A fallback that no item of the task type could ever use is no fallback."""
        served = {one.tier for one in self.deployments.values() if not one.candidate}
        risks = list(Risk) if usual.risk is None else [usual.risk]
        floors = [floor_of(Demands(), risk, task, usual, self.floors) for risk in risks]
        lowest = min(floors, key=TIERS.index)
        if usual.rules is not None and lowest is not Tier.GPU:
            raise ValueError(
                f"{dotted('tasks', task, 'rules')}: would answer nothing: the floor"
                f" {lowest.value!r} holds for all its items"
            )
        for name in ("on_ceiling", "on_throttle", "on_outage"):
            tier: Tier | None = getattr(usual, name)
            if tier is None:
                continue
            where = f"{dotted('tasks', task, name)} = {tier.value!r}"
            if TIERS.index(tier) < TIERS.index(lowest):
                raise ValueError(f"{where} is below the floor {lowest.value!r} that holds for it")
            if served and tier not in served:
                raise ValueError(f"{where}: no deployment is of that tier")


_NO_LIMITS = Limits()


def digest_of(text: str) -> str:
    """The name of a policy's text."""
    return sha256(text.encode()).hexdigest()[:12]


def parse_policy(text: str, source: str, folder: str = "") -> Policy:
    """The policy that ``text`` (TOML) states; ``source`` says in errors where it came from, and
    ``folder`` where the files lie that it names by a relative path.

    Raises ``InvalidPolicy`` whose message names the key and, for a misspelt one, the nearest.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise InvalidPolicy(f"{source} is not TOML: {wrong}", {"source": source}) from None
    digest = digest_of(text)
    ours: dict[str, Any] = {"digest": digest, "folder": folder}
    if isinstance(tables := raw.get("deployments"), dict):
        ours["deployments"] = {
            name: _with(table, {"name": name, "policy": digest}, ("deployments", name), source)
            for name, table in tables.items()
        }
    if isinstance(tables := raw.get("tiers", {}), dict):
        shipped: dict[str, Any] = {tier.value: _SHIPPED.get(tier, {}) for tier in TIERS}
        ours["tiers"] = shipped | {
            name: {**shipped.get(name, {}), **table} if isinstance(table, dict) else table
            for name, table in tables.items()
        }
    raw.pop("deployments", None) if "deployments" in ours else None
    raw.pop("tiers", None) if "tiers" in ours else None
    try:
        return Policy.model_validate(_with(raw, ours, (), source))
    except ValidationError as wrong:
        key, why = complaint(wrong, Policy)
        where = f"{placed(key)}: " if key else ""
        raise InvalidPolicy(
            f"{source}: {where}{why}", {"source": source, "key": dotted(*key)}
        ) from None


def _with(table: Any, filled_in: dict[str, Any], path: tuple[str, ...], source: str) -> Any:
    """``table`` and what is filled in for it; refused where the text states those keys itself."""
    if not isinstance(table, dict):
        return table
    for key in filled_in.keys() & table.keys():
        where = dotted(*path, key)
        raise InvalidPolicy(
            f"{source}: {where}: is not a key: it is filled in", {"source": source, "key": where}
        )
    return table | filled_in


# What one engine of the house batches by itself; a vendor's limits are lower.
_SHIPPED: dict[Tier, dict[str, int]] = {Tier.GPU: {"concurrency": 384, "slice": 128}}
