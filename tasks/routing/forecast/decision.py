"""The routing decision of a call that is no item yet: where it would go, or why nowhere."""

from datetime import UTC, datetime

from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.item import WorkItem
from tierqueue.router.policy.duration import microseconds
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Choice
from tierqueue.router.signals import Signals, measure
from tierqueue.tasks.routing.decide import work_item_of
from tierqueue.tasks.routing.predictors import Predictors
from tierqueue.tasks.routing.token_counter import TokenCounter


def decision_of(new: NewItem, policy: Policy) -> Choice:
    """Where an item would go now, or why it would go nowhere; writes nothing."""
    conditions, counter = Conditions(now=this_moment()), TokenCounter(policy)
    return decide(new, policy, conditions, counter, Predictors(policy))


def decide(
    new: NewItem,
    policy: Policy,
    conditions: Conditions,
    counter: TokenCounter,
    predictors: Predictors | None = None,
) -> Choice:
    """As ``decision_of``, by what is known: for many items of one moment; without ``predictors``
    where their files need not lie, as at a producer's.
    """
    item = work_item_of(new, policy, conditions.now)
    return choose(item, signals_of(item, new, counter, predictors), policy, conditions)


def signals_of(
    item: WorkItem, new: NewItem, counter: TokenCounter, predictors: Predictors | None
) -> Signals:
    """What can be known of the item by its call."""
    counted = counter.count(new.task, new.arguments)
    predicted = None if predictors is None else predictors.of(new.task, new.arguments, new.budget)
    return measure(item, counted, predicted)


def this_moment() -> int:
    """By this machine's clock, in epoch microseconds."""
    return microseconds(datetime.now(UTC).timestamp())
