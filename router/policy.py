"""tierqueue.toml as a ``Policy``: tiers, deployments, prices, rules and starting ceilings."""

import tomllib
from hashlib import sha256
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from tierqueue.router.complaints import complaint, nearest
from tierqueue.router.deployment import Deployment, Flag, PositiveCount, Table
from tierqueue.router.duration import MICROSECONDS, parse_duration
from tierqueue.router.errors import InvalidItem, InvalidPolicy
from tierqueue.router.item import TIERS, Demands, Fallback, Latency, Risk, Sensitivity, Tier
from tierqueue.router.money import NanoUSD, parse_usd

DEFAULT_DEADLINE = 24 * 3_600 * MICROSECONDS
"""Microseconds an item has where neither it nor its task type says."""

DEFAULT_BUDGET = "default"


def _money(text: Any) -> NanoUSD:
    try:
        return parse_usd(text)
    except InvalidItem as wrong:
        raise ValueError(wrong.message) from None


Money = Annotated[NanoUSD, BeforeValidator(_money)]
Duration = Annotated[int, BeforeValidator(parse_duration)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class TierPolicy(Table):
    """``concurrency``: calls in flight over all workers; ``slice``: most items in one slice.

    Where the policy says nothing, ``gpu`` has 256 and 128.
    """

    concurrency: PositiveCount = 32
    slice: PositiveCount = 64


class TaskDefaults(Table):
    """What items of a task type demand where they do not say; ``deadline`` in microseconds."""

    risk: Risk | None = None
    sensitivity: Sensitivity | None = None
    latency: Latency | None = None
    deadline: Duration | None = None
    floor: Tier | None = None
    max_cost: Money | None = None
    budget: str | None = Field(default=None, min_length=1)
    on_ceiling: Tier | None = None
    on_throttle: Tier | None = None
    on_outage: Tier | None = None

    @model_validator(mode="after")
    def _falls_no_deeper_than_its_floor(self) -> Self:
        for name in ("on_ceiling", "on_throttle", "on_outage"):
            tier: Tier | None = getattr(self, name)
            if tier is not None and TIERS.index(tier) < TIERS.index(self.floor or tier):
                raise ValueError(f"{name} = {tier.value!r} is below the floor {self.floor!r}")
        return self


class FloorRule(Table):
    """No item of this task type and risk is done below ``floor``; ``None`` matches all."""

    task: str | None = None
    risk: Risk | None = None
    floor: Tier


class CeilingRule(Table):
    """A ceiling's starting value, in nano-dollars a window; the ledger keeps it from then on."""

    scope: Literal["job", "budget", "tier", "deployment", "provider", "everything"]
    name: str = Field(default="*", min_length=1)
    window: Literal["total", "hour", "day", "week", "month"] = "total"
    timezone: str = "UTC"
    limit: Money

    @model_validator(mode="after")
    def _has_a_time_zone(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"{self.timezone!r} is not a time zone: write it like Europe/Berlin"
            ) from None
        if self.scope == "everything" and self.name != "*":
            raise ValueError("a ceiling over everything has no name")
        return self


class WarningPolicy(Table):
    """When a ceiling warns before it is reached; once for each window and limit.

    ``shares``: of the limit, spent; none warns never. ``burn_rate``: how many times as fast as
    would just last for the window; 0 warns never.
    """

    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.8, 0.95)
    burn_rate: float = Field(default=3.0, ge=0, le=1_000)


class HookPolicy(Table):
    """Who is told of warnings and of what a ceiling ended: a command, which reads JSON on its
    standard input, or an address that JSON is posted to.
    """

    command: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    webhook: str | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.command and self.webhook is not None:
            raise ValueError("command and webhook are both stated: keep exactly one")
        if self.webhook is not None:
            url = urlsplit(self.webhook)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError("webhook is not an http:// or https:// address")
            if url.username or url.password:
                raise ValueError("webhook holds a login: let a command post it instead")
        return self

    @property
    def stated(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self.command) or self.webhook is not None


class RetryPolicy(Table):
    """When work is tried again.

    ``calls``: most calls over an item's life; ``base`` and ``cap``: seconds of backoff;
    ``poison``: most claims that may end without a settle; ``unknown``: what becomes of an item
    whose paid call's reply is lost.
    """

    calls: PositiveCount = 4
    base: Seconds = 1.0
    cap: Seconds = 60.0
    poison: PositiveCount = 3
    unknown: Literal["dead_letter", "retry"] = "dead_letter"


class RetentionPolicy(Table):
    """How long after its end an item's payloads are kept; where nothing is stated, for ever.

    Receipts, attempts and the books stay in any case. ``succeeded`` is for cancelled items too.
    """

    succeeded: Duration | None = None
    dead: Duration | None = None


class Policy(Table):
    """A whole tierqueue.toml, checked. ``digest`` names its text in prices and receipts."""

    digest: str
    allow_simulated: Flag = False
    default_sensitivity: Sensitivity | None = None
    allow_regulated_by_name: Flag = False
    tiers: dict[Tier, TierPolicy] = Field(default_factory=dict)
    deployments: dict[str, Deployment] = Field(default_factory=dict)
    tasks: dict[str, TaskDefaults] = Field(default_factory=dict)
    floors: tuple[FloorRule, ...] = ()
    ceilings: tuple[CeilingRule, ...] = ()
    retry: RetryPolicy = RetryPolicy()
    retention: RetentionPolicy = RetentionPolicy()
    warnings: WarningPolicy = WarningPolicy()
    hooks: HookPolicy = HookPolicy()

    def __hash__(self) -> int:
        return hash(self.digest)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        simulated = [each.name for each in self.deployments.values() if each.simulated]
        if simulated and not self.allow_simulated:
            raise ValueError(
                f"deployments.{simulated[0]} is simulated: say allow_simulated = true at the top, "
                "or take it out"
            )
        for task, usual in self.tasks.items():
            self._fall_somewhere(task, usual)
        known: dict[str, set[str]] = {
            "tier": {tier.value for tier in TIERS},
            "deployment": set(self.deployments),
            "provider": {each.provider for each in self.deployments.values()},
        }
        for number, rule in enumerate(self.ceilings):
            names = known.get(rule.scope)
            if names is not None and rule.name not in names | {"*"}:
                raise ValueError(
                    f"ceilings.{number}.name: there is no {rule.scope} {rule.name!r}"
                    + nearest(rule.name, names)
                )
        return self

    def _fall_somewhere(self, task: str, usual: TaskDefaults) -> None:
        """A fallback that no item of the task type could ever use is no fallback."""
        served = {deployment.tier for deployment in self.deployments.values()}
        risks = list(Risk) if usual.risk is None else [usual.risk]
        floors = [_floor(Demands(), risk, task, self) for risk in risks]
        lowest = min(floors, key=TIERS.index)
        for name in ("on_ceiling", "on_throttle", "on_outage"):
            tier: Tier | None = getattr(usual, name)
            if tier is None:
                continue
            where = f"tasks.{task}.{name} = {tier.value!r}"
            if TIERS.index(tier) < TIERS.index(lowest):
                raise ValueError(f"{where} is below the floor {lowest.value!r} that holds for it")
            if served and tier not in served:
                raise ValueError(f"{where}: no deployment is of that tier")


def parse_policy(text: str, source: str) -> Policy:
    """The policy that ``text`` (TOML) states; ``source`` says in errors where it came from.

    Raises ``InvalidPolicy`` whose message names the key and, for a misspelt one, the nearest.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise InvalidPolicy(f"{source} is not TOML: {wrong}", {"source": source}) from None
    digest = sha256(text.encode()).hexdigest()[:12]
    ours: dict[str, Any] = {"digest": digest}
    if isinstance(tables := raw.get("deployments"), dict):
        ours["deployments"] = {
            name: _with(table, {"name": name, "policy": digest}, f"deployments.{name}", source)
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
        return Policy.model_validate(_with(raw, ours, "", source))
    except ValidationError as wrong:
        key, why = complaint(wrong, Policy)
        raise InvalidPolicy(
            f"{source}: {key + ': ' if key else ''}{why}", {"source": source, "key": key}
        ) from None


def _with(table: Any, filled_in: dict[str, Any], path: str, source: str) -> Any:
    """``table`` and what is filled in for it; refused where the text states those keys itself."""
    if not isinstance(table, dict):
        return table
    for key in filled_in.keys() & table.keys():
        where = f"{path}.{key}".lstrip(".")
        raise InvalidPolicy(
            f"{source}: {where}: is not a key: it is filled in", {"source": source, "key": where}
        )
    return table | filled_in


def resolve(demands: Demands, task: str, policy: Policy, now: int) -> Demands:
    """``demands`` with every default applied; ``now`` and the deadline in epoch microseconds.

    The item's own value wins, then its task type's, then the policy's. What nobody states is the
    strictest: regulated, auto-applied. The floor is the highest of the item's and every matching
    rule's, and a fallback to a tier below it is none; ``max_cost`` alone may stay ``None``.
    """
    usual = policy.tasks.get(task) or _NOTHING_STATED
    risk = demands.risk or usual.risk or Risk.AUTO_APPLIED
    floor = _floor(demands, risk, task, policy)
    sensitivity = demands.sensitivity or usual.sensitivity or policy.default_sensitivity
    deadline = demands.deadline
    return Demands(
        risk=risk,
        sensitivity=sensitivity or Sensitivity.REGULATED,
        latency=demands.latency or usual.latency or Latency.BACKGROUND,
        deadline=now + (usual.deadline or DEFAULT_DEADLINE) if deadline is None else deadline,
        max_cost=usual.max_cost if demands.max_cost is None else demands.max_cost,
        floor=floor,
        budget=demands.budget or usual.budget or DEFAULT_BUDGET,
        fallback=Fallback(
            on_ceiling=_at_least(floor, demands.fallback.on_ceiling or usual.on_ceiling),
            on_throttle=_at_least(floor, demands.fallback.on_throttle or usual.on_throttle),
            on_outage=_at_least(floor, demands.fallback.on_outage or usual.on_outage),
        ),
    )


def _floor(demands: Demands, risk: Risk, task: str, policy: Policy) -> Tier:
    usual = policy.tasks.get(task) or _NOTHING_STATED
    floors = [
        rule.floor
        for rule in policy.floors
        if rule.task in (None, task) and rule.risk in (None, risk)
    ]
    return max([demands.floor or usual.floor or Tier.GPU, *floors], key=TIERS.index)


def _at_least(floor: Tier, tier: Tier | None) -> Tier | None:
    """The tier, unless it is below the floor: then what would have fallen to it waits."""
    return None if tier is None or TIERS.index(tier) < TIERS.index(floor) else tier


_NOTHING_STATED = TaskDefaults()

# What one engine of the house batches by itself; a vendor's limits are lower.
_SHIPPED: dict[Tier, dict[str, int]] = {Tier.GPU: {"concurrency": 256, "slice": 128}}
