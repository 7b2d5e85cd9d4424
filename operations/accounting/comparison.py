"""The price of the same answers elsewhere, and of a GPU's idle hours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import ceil

from tierqueue.ledger.accounting.spending import GroupSpending, UsageCount
from tierqueue.router.errors import Unpriced
from tierqueue.router.item import Tier
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.router.pricing import charge

_HOUR_SECONDS = 3_600

Group = tuple[str, bool]
"""A group's key, and whether its money is simulated."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """What the accepted calls of each group would cost on one deployment, in nano-dollars.

    The same token counts, at the prices of one moment; another model's tokenizer may count
    otherwise, and calls that brought no accepted answer are left out.
    """

    deployment: str
    simulated: bool
    costs: dict[Group, int]

    @property
    def total(self) -> int:
        """Over all groups."""
        return sum(self.costs.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """From how many tokens an hour on a deployment by the hour is the cheaper one."""

    against: str
    simulated: bool
    tokens_per_hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleCost:
    """A deployment paid by the hour, as one engine that stood there for the whole time.

    Money in nano-dollars; ``busy`` is the share of the time for which calls were charged, above 1
    where several engines ran. ``break_even`` is empty where no call has shown which tokens are
    used: nothing is guessed.
    """

    deployment: str
    per_hour: int
    seconds: float
    charged: int
    idle_cost: int
    busy: float
    tokens_per_hour: int
    break_even: tuple[BreakEven, ...]


def all_on_frontier(used: Sequence[UsageCount], policy: Policy, at: datetime) -> Alternative | None:
    """The cheapest frontier deployment for all of this; ``None`` where none has token prices."""
    frontier = [deployment for deployment in _by_token(policy) if deployment.tier is Tier.FRONTIER]
    priced = [cost for cost in (_elsewhere(used, d, at) for d in frontier) if cost is not None]
    return min(priced, key=lambda cost: (cost.total, cost.deployment), default=None)


def idle(
    policy: Policy,
    spent: Iterable[GroupSpending],
    used: Sequence[UsageCount],
    seconds: float,
    at: datetime,
) -> list[IdleCost]:
    """Each deployment paid by the hour over ``seconds``; ``spent`` is by deployment."""
    charged: dict[str, int] = {}
    for group in spent:
        charged[group.key] = charged.get(group.key, 0) + group.cost
    found = []
    for deployment in policy.deployments.values():
        if deployment.gpu_hour is None or seconds <= 0:
            continue
        whole = ceil(deployment.gpu_hour * Fraction(seconds))
        cost = charged.get(deployment.name, 0)
        own = [one for one in used if one.deployment == deployment.name]
        found.append(
            IdleCost(
                deployment=deployment.name,
                per_hour=ceil(deployment.gpu_hour * _HOUR_SECONDS),
                seconds=round(seconds, 3),
                charged=cost,
                idle_cost=max(0, whole - cost),
                busy=round(cost / whole, 4) if whole else 0.0,
                tokens_per_hour=round(_tokens(own) * _HOUR_SECONDS / seconds),
                break_even=tuple(_break_even(deployment, own or used, policy, at)),
            )
        )
    return found


def _break_even(
    hourly: Deployment, used: Sequence[UsageCount], policy: Policy, at: datetime
) -> Iterable[BreakEven]:
    assert hourly.gpu_hour is not None
    tokens = _tokens(used)
    for deployment in _by_token(policy) if tokens else ():
        there = _elsewhere(used, deployment, at)
        if there is not None and there.total:
            per_token = Fraction(there.total, tokens)
            yield BreakEven(
                against=deployment.name,
                simulated=deployment.simulated,
                tokens_per_hour=ceil(hourly.gpu_hour * _HOUR_SECONDS / per_token),
            )


def _elsewhere(
    used: Iterable[UsageCount], deployment: Deployment, at: datetime
) -> Alternative | None:
    costs: dict[Group, int] = {}
    try:
        for usage in used:
            cost = charge(deployment, usage.usage, at).cost * usage.calls
            group = (usage.key, usage.simulated)
            costs[group] = costs.get(group, 0) + cost
    except Unpriced:
        return None
    return Alternative(deployment.name, deployment.simulated, costs)


def _by_token(policy: Policy) -> list[Deployment]:
    return [deployment for deployment in policy.deployments.values() if deployment.gpu_hour is None]


def _tokens(used: Iterable[UsageCount]) -> int:
    return sum((one.usage.total_input + one.usage.output_tokens) * one.calls for one in used)
