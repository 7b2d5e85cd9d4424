"""The choice to do a document whole or in pieces, by the cost of an accepted answer.

One call of the whole may need a tier with a larger context window. It goes there where no more is
paid for it than for all pieces and what joins them, by the upper bounds of the calls and, where a
task type has enough answers, by the share of them that was accepted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.router.choose import Conditions
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Route
from tierqueue.tasks.plural import count
from tierqueue.tasks.routing.forecast.decision import decide
from tierqueue.tasks.routing.token_counter import TokenCounter


@dataclass(frozen=True, slots=True)
class DocumentPlan:
    """One way to do a document: in so many calls, at these deployments, for at most ``cost`` in
    nano-dollars, as far as ceilings count it. ``None``: some call of it would go nowhere.
    """

    calls: int
    deployments: tuple[str, ...]
    cost: NanoUSD | None


@dataclass(frozen=True, slots=True)
class DocumentPlans:
    """Both ways to do one document."""

    whole: DocumentPlan
    pieces: DocumentPlan

    @property
    def split(self) -> bool:
        """Whether it is done in pieces."""
        if self.whole.cost is None:
            return True
        return self.pieces.cost is not None and self.pieces.cost < self.whole.cost

    @property
    def why(self) -> str:
        """Which way it is done and what each can cost, for people."""
        whole = f"whole, in one call, {_cost_of(self.whole)}"
        pieces = f"in pieces, with what joins them {count(self.pieces.calls, 'call')},"
        pieces = f"{pieces} {_cost_of(self.pieces)}"
        return f"{pieces}; {whole}" if self.split else f"{whole}; {pieces}"


def compare(
    whole: NewItem,
    pieces: Sequence[NewItem],
    policy: Policy,
    conditions: Conditions,
    counter: TokenCounter,
) -> DocumentPlans:
    """Route the document both ways, as items would be now; commits nothing."""
    return DocumentPlans(
        _way([whole], policy, conditions, counter), _way(pieces, policy, conditions, counter)
    )


def _way(
    items: Sequence[NewItem], policy: Policy, conditions: Conditions, counter: TokenCounter
) -> DocumentPlan:
    at: Counter[str] = Counter()
    cost = 0
    for new in items:
        chosen = decide(new, policy, conditions, counter)
        if not isinstance(chosen, Route):
            return DocumentPlan(len(items), (), None)
        at[chosen.deployment] += 1
        cost += _accepted(new.task, chosen, policy, conditions)
    return DocumentPlan(len(items), tuple(name for name, _ in at.most_common()), NanoUSD(cost))


def _accepted(task: str, route: Route, policy: Policy, conditions: Conditions) -> int:
    """The most that an accepted answer costs: as many calls as it takes to have one."""
    if not policy.counts(policy.deployments[route.deployment]):
        return 0
    seen = conditions.evidence.get(task, {}).get(route.deployment)
    if seen is None or not seen.enough:
        return route.bound
    return ceil(route.bound * seen.answers / max(seen.accepted, 1))


def _cost_of(way: DocumentPlan) -> str:
    if way.cost is None:
        return "no deployment may or can do it"
    return f"at {', '.join(way.deployments)}, at most {format_usd(way.cost)}"
