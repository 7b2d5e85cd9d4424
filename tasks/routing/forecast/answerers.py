"""The forecast of who answers below the tiers: a rule, an earlier answer or a surrogate."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from tierqueue.ledger.in_force import surrogates
from tierqueue.ledger.in_force.reusable_answers import FormerItem
from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.ledger.records import Item
from tierqueue.ledger.session import Transaction
from tierqueue.router.item import BelowTier, Demands, WorkItem
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Route
from tierqueue.tasks.routing.below import Offer, drawn
from tierqueue.tasks.routing.drawn_prompts import falls
from tierqueue.tasks.routing.reuse import Reuse, ReuseQuestion
from tierqueue.tasks.routing.rules.serving import Rules
from tierqueue.tasks.routing.surrogates import Surrogates


@dataclass(frozen=True, slots=True)
class ForeseenAnswer:
    """Who would answer a call, and by which version; ``audited``: a model answers all the same."""

    by: BelowTier
    version: str
    audited: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would be said to a call below the tiers, whoever may say it first; ``asking``: what an
    earlier answer must have been asked.
    """

    rule: ForeseenAnswer | None = None
    asking: ReuseQuestion | None = None
    surrogate: ForeseenAnswer | None = None

    def answer(self, *, reused: bool) -> ForeseenAnswer | None:
        """Who answers in the end, where an earlier answer does for it (``reused``) or does not;
        ``None``: a model.
        """
        if self.rule is not None:
            return None if self.rule.audited else self.rule
        if self.asking is not None and reused:
            return REUSED
        found = self.surrogate
        return None if found is None or found.audited else found


REUSED = ForeseenAnswer(BelowTier.REUSED, BelowTier.REUSED.value)
NOBODY = Forecast()


class Answerers:
    """Whoever a policy lets answer below the tiers; false where it is nobody. ``off``: versions
    that are out of service. What somebody holds back now says nothing of later.

    Raises ``Misconfigured`` as ``Rules`` and ``Surrogates`` do.
    """

    def __init__(self, policy: Policy, off: Collection[str] = ()) -> None:
        self._policy, self._off = policy, off
        self._rules, self._surrogates = Rules(policy), Surrogates(policy)
        self.reuse = Reuse(policy)

    @classmethod
    def in_service(cls, connection: Transaction, policy: Policy) -> Self:
        """Without those that the ledger has out of service."""
        off = surrogates.switched_off(connection, policy.audited)
        return cls(policy, {one.version for one in off})

    def __bool__(self) -> bool:
        return bool(self._rules) or bool(self._surrogates) or bool(self.reuse)

    def wants(self, task: str) -> bool:
        """Whether any of such items might be answered."""
        return any(task in who.tasks for who in (self._rules, self.reuse, self._surrogates))

    def foreseen(
        self, item: NewItem | Item, arguments: Mapping[str, Any], demands: Demands, draw: str
    ) -> Forecast:
        """What would be said to an item as it comes in. ``draw``: what audits and prompts are drawn
        by, the item's id where it has one.
        """
        if item.pinned is not None or item.prompt is not None or not self.wants(item.task):
            return NOBODY
        usual = self._policy.tasks[item.task]
        if usual.prompt is not None and not item.fresh and falls(usual.prompt, draw):
            return NOBODY
        called = (item, demands.floor, arguments, self._off)
        return Forecast(
            _first(self._rules.offer(*called), draw),
            self.reuse.asking_of(item, arguments, demands),
            _first(self._surrogates.offer(*called), draw),
        )

    def reused(
        self, there: FormerItem | None, item: WorkItem, asks: ReuseQuestion, route: Route, now: int
    ) -> bool:
        """Whether an earlier answer does for an item that would go by ``route``."""
        refusals = [refusal.to_json() for refusal in route.refusals]
        return self.reuse.does(there, item.task, asks, item.demands.floor, refusals, now)


def _first(offer: Offer | None, draw: str) -> ForeseenAnswer | None:
    if offer is None:
        return None
    return ForeseenAnswer(offer.by, offer.version, drawn(offer.version, draw, offer.audit))
