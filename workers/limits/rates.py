"""Rates of a deployment, a provider's account or a budget; an item's call is granted in all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import Wait
from tierqueue.router.policy.deployment import Deployment, Limits, token_burst
from tierqueue.router.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class OperatorLimits:
    """What operators set of deployments, ``account:NAME`` and ``budget:NAME``: by limit, and since
    when anything is set of each without a break (epoch microseconds).
    """

    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    since: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Limits over all workers; ``None`` means "not bounded", 0 in flight means "nothing now".

    ``token_burst`` is the largest item, in tokens, that is ever granted. ``since`` is from when on
    calls count in them (epoch microseconds); 0: always.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    token_burst: int | None = None
    in_flight: int | None = None
    since: int = 0

    @property
    def rates(self) -> tuple[int | None, ...]:
        """Requests, tokens, input tokens, output tokens a minute; requests a day."""
        return (
            self.requests_per_minute,
            self.tokens_per_minute,
            self.input_tokens_per_minute,
            self.output_tokens_per_minute,
            self.requests_per_day,
        )

    @property
    def rated(self) -> bool:
        """Whether any rate is bounded."""
        return any(limit is not None for limit in self.rates)

    def allows(self, tokens: int, output: int) -> bool:
        """Whether a call of so many tokens, ``output`` of them output, can ever be granted."""
        burst, whole = self.token_burst, self.tokens_per_minute
        read, written = self.input_tokens_per_minute, self.output_tokens_per_minute
        return (
            (burst is None or tokens <= burst)
            and (whole is None or tokens <= whole)
            and (read is None or tokens - output <= read)
            and (written is None or output <= written)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRates(Rates):
    """What holds over all deployments of an account, or over all items of a budget.

    ``deployments`` are those whose calls count in it, by their tiers, ``call`` is how long any of
    them takes at most, in seconds.
    """

    kind: Literal["account", "budget"]
    name: str
    deployments: Mapping[str, Tier]
    call: float

    @property
    def budget(self) -> str | None:
        """The budget whose items alone count in it; ``None``: those of all."""
        return self.name if self.kind == "budget" else None

    @property
    def key(self) -> str:
        """It, as operators name it."""
        return f"{self.kind}:{self.name}"

    @property
    def rate_full(self) -> Wait:
        """Why an item waits that its rates let not through."""
        return Wait.ACCOUNT_RATE if self.kind == "account" else Wait.BUDGET_RATE

    @property
    def calls_full(self) -> Wait:
        """The same of its calls in flight."""
        return Wait.ACCOUNT_IN_FLIGHT if self.kind == "account" else Wait.BUDGET_IN_FLIGHT

    @property
    def forgotten(self) -> Wait:
        """The same where Redis does not know all its calls."""
        return Wait.ACCOUNT_FORGOTTEN if self.kind == "account" else Wait.BUDGET_FORGOTTEN


def shared_by(
    policy: Policy, deployment: Deployment, chosen: OperatorLimits
) -> tuple[SharedRates, ...]:
    """The account's limits that a deployment's calls count in, if it has any."""
    name = deployment.account
    if name is None:
        return ()
    stated = policy.limits_of(f"account:{name}")
    of_it = {one.name: one for one in policy.deployments.values() if one.account == name}
    of_it.setdefault(deployment.name, deployment)
    return _shared("account", name, stated, chosen, of_it, deployment)


def of_budget(
    policy: Policy, deployment: Deployment, budget: str | None, chosen: OperatorLimits
) -> tuple[SharedRates, ...]:
    """The limits of a budget whose items a deployment is to be called for, if it has any."""
    if budget is None:
        return ()
    stated = policy.limits_of(f"budget:{budget}")
    of_it = {**policy.deployments, deployment.name: deployment}
    return _shared("budget", budget, stated, chosen, of_it, deployment)


def limits_budgets(policy: Policy, limits: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether any budget has limits, of the policy or among those that operators set."""
    stated = any(kept.limits != Limits() for kept in policy.budgets.values())
    return stated or any(key.startswith("budget:") for key in limits)


def _shared(
    kind: Literal["account", "budget"],
    name: str,
    stated: Limits,
    chosen: OperatorLimits,
    counted: Mapping[str, Deployment],
    deployment: Deployment,
) -> tuple[SharedRates, ...]:
    key = f"{kind}:{name}"
    own = chosen.limits.get(key)
    limits = stated.model_copy(update=dict(own)) if own else stated
    if limits == Limits():
        return ()
    tokens = limits.tokens_per_minute
    return (
        SharedRates(
            kind=kind,
            name=name,
            deployments={one.name: one.tier for one in counted.values()},
            call=max(one.longest_call for one in counted.values()),
            requests_per_minute=limits.requests_per_minute,
            tokens_per_minute=tokens,
            input_tokens_per_minute=limits.input_tokens_per_minute,
            output_tokens_per_minute=limits.output_tokens_per_minute,
            requests_per_day=limits.requests_per_day,
            token_burst=None if tokens is None else token_burst(tokens, deployment.context_window),
            in_flight=limits.in_flight,
            since=chosen.since.get(key, 0) if stated == Limits() else 0,
        ),
    )
