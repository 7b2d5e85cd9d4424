"""Recorded items through another policy: where each would have gone, and for how much."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tierqueue.ledger.accounting.spending import CallHistory
from tierqueue.ledger.operations.item_list import RecordedItem
from tierqueue.ledger.records import Item
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.item import WorkItem
from tierqueue.router.money import NOTHING
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Choice, Route
from tierqueue.router.signals import Prediction, Signals, measure
from tierqueue.tasks.jobs.expectation import Estimate, expected, repriced
from tierqueue.tasks.jobs.quote import escalations
from tierqueue.tasks.routing.decide import work_item_of
from tierqueue.tasks.routing.forecast.recorded_items import ItemsBelow
from tierqueue.tasks.routing.forecast.refusals import ExpectedSpending, Refusals, late
from tierqueue.tasks.routing.measurements import Measurements

NOWHERE = "nowhere"
"""Where an item goes that is refused."""


@dataclass(frozen=True, slots=True)
class Move:
    """An item that would go elsewhere: from which deployment, to which, and why.

    ``rule``: by which rule, or for which reason, it is not where it was, such as ``floor``;
    ``deployment``: the policy has it no more; ``routed``: it was nowhere.
    """

    item: str
    before: str
    after: str
    rule: str
    why: str


@dataclass(slots=True)
class PolicyReplay:
    """What a policy would have done with recorded items; money in nano-dollars.

    ``spent`` is what they did cost, ``expected`` what they would; ``unknown`` counts those of which
    the first deployment has no answers yet. ``refused``: those that are expected to be refused.
    ``predicted``: items by the version of the predictor that was asked, ``swayed`` those that go
    elsewhere for it, ``without`` what these and all others would cost without any.
    """

    items: int = 0
    spent: int = 0
    expected: Estimate = field(default_factory=Estimate)
    unknown: int = 0
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    refused: Refusals = field(default_factory=Refusals)
    moves: list[Move] = field(default_factory=list)
    predicted: Counter[str] = field(default_factory=Counter)
    swayed: Counter[str] = field(default_factory=Counter)
    without: Estimate = field(default_factory=Estimate)

    @property
    def by_deployment(self) -> dict[str, tuple[int, int]]:
        """How many items went to each deployment first, and how many would."""
        names = self.before.keys() | self.after.keys()
        return {name: (self.before[name], self.after[name]) for name in names}

    def to_json(self) -> dict[str, Any]:
        """The whole as plain JSON."""
        return {
            "items": self.items,
            "expected_refusals": len(self.refused),
            "spent_nanousd": self.spent,
            "expected_nanousd": round(self.expected.value),
            "low_nanousd": round(self.expected.low),
            "high_nanousd": round(self.expected.high),
            "unknown": self.unknown,
            "deployments": {
                name: {"before": before, "after": after}
                for name, (before, after) in sorted(self.by_deployment.items())
            },
            "refused": self.refused.items,
            "refused_examples": {
                reason: self.refused.examples(reason) for reason in self.refused.items
            },
            "predictors": {
                version: {"asked": asked, "elsewhere": self.swayed[version]}
                for version, asked in sorted(self.predicted.items())
            },
            "without_predictors_nanousd": round(self.without.value),
            "moves": [asdict(move) for move in self.moves],
        }


def replayed(
    items: Iterable[RecordedItem],
    policy: Policy,
    past: Mapping[str, Mapping[tuple[str, bool], CallHistory]],
    measured: Measurements,
    predicted: Mapping[str, Prediction],
    below: ItemsBelow,
) -> PolicyReplay:
    """Choose for each item, as at its submission, by ``policy``. ``past`` is by task type;
    ``measured``: what routing is told, of which the queues of today say nothing of then;
    ``predicted``: what predictors say; ``below``: who answers what without a call.
    """
    found, spending = PolicyReplay(), ExpectedSpending(policy)
    for item, before, answered_at in sorted(items, key=lambda one: one.item.submitted_at):
        found.items += 1
        found.spent += item.spent
        found.before[before or NOWHERE] += 1
        conditions = replace(measured.conditions(item.submitted_at), queues={})
        work = _afresh(item, policy)
        known = _known(past.get(item.task, {}), policy)
        signals = measure(work, {}, predicted.get(item.id))
        chosen = choose(work, signals, policy, conditions)
        after, cost = NOWHERE, Estimate()
        first = below.answers(item, answered_at) if isinstance(chosen, Route) else None
        if first is not None:
            after, rule = first.by.value, first.by.value
            why = f"{first.by.in_words} answers: {first.version}"
            signals = replace(signals, predicted=None)
        elif isinstance(chosen, Route):
            after = chosen.deployment
            rule, why = _kept_off(chosen, before)
            likely = _likely(work, chosen, signals, policy, conditions, known)
            found.unknown += likely is None
            cost = likely or _bound(chosen)
            if (missed := late(work, chosen, conditions)) is not None:
                found.refused.add(item.id, "deadline", missed)
            elif (full := spending.spend(item, work, chosen, cost.value)) is not None:
                found.refused.add(item.id, "cost_ceiling", full)
        else:
            rule, why = chosen.reason, chosen.message
            if before is not None:
                found.refused.add(item.id, chosen.reason, why)
        found.expected = found.expected + cost
        if signals.predicted is not None:
            cost = _unpredicted(found, work, chosen, cost, signals, policy, conditions, known)
        found.without = found.without + cost
        found.after[after] += 1
        if after != (before or NOWHERE):
            found.moves.append(Move(item.id, before or NOWHERE, after, rule, why))
    return found


def _kept_off(route: Route, before: str | None) -> tuple[str, str]:
    """The rule that keeps an item from where it went before, and why."""
    if before is None:
        return "routed", route.reasons[0]
    refused = (refusal for refusal in route.refusals if refusal.deployment == before)
    if (refusal := next(refused, None)) is not None:
        return refusal.rule, f"{before}: {refusal.why}"
    return "deployment", f"the policy has no deployment {before}"


def _likely(
    work: WorkItem,
    route: Route,
    signals: Signals,
    policy: Policy,
    conditions: Conditions,
    known: Mapping[str, CallHistory],
) -> Estimate | None:
    """What an item that goes by ``route`` is expected to cost in all; ``None``: nothing is known
    of it.
    """
    steps = [route, *escalations(work, route, signals, policy, conditions)]
    likely = expected(
        [(step.deployment, step.bound) for step in steps],
        repriced(steps, known, policy, conditions.now),
    )
    return None if likely is None else likely[0]


def _bound(route: Route) -> Estimate:
    return Estimate(0.0, float(route.bound), float(route.bound))


def _unpredicted(
    found: PolicyReplay,
    work: WorkItem,
    chosen: Choice,
    cost: Estimate,
    signals: Signals,
    policy: Policy,
    conditions: Conditions,
    known: Mapping[str, CallHistory],
) -> Estimate:
    """What the item is expected to cost without the predictor that was asked; its effect counts."""
    assert signals.predicted is not None
    version, signals = signals.predicted.version, replace(signals, predicted=None)
    found.predicted[version] += 1
    other = choose(work, signals, policy, conditions)
    if not (isinstance(chosen, Route) and isinstance(other, Route)):
        return cost
    if chosen.deployment == other.deployment:
        return cost
    found.swayed[version] += 1
    return _likely(work, other, signals, policy, conditions, known) or _bound(other)


def _afresh(item: Item, policy: Policy) -> WorkItem:
    """The item as it came in: nobody has tried it, and nothing is spent."""
    work = work_item_of(item, policy, item.submitted_at)
    return replace(work, refused_by=(), too_small={}, spent=NOTHING, only=None, called=False)


def _known(past: Mapping[tuple[str, bool], CallHistory], policy: Policy) -> dict[str, CallHistory]:
    return {
        name: there
        for name, deployment in policy.deployments.items()
        if (there := past.get((name, deployment.simulated))) is not None and there.items
    }
