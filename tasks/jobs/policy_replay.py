"""Recorded items through another policy: where each would have gone, and for how much."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tierqueue.ledger.accounting.spending import Past
from tierqueue.ledger.records import Item
from tierqueue.router.choose import choose
from tierqueue.router.item import WorkItem
from tierqueue.router.money import NOTHING
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Route
from tierqueue.router.signals import measure
from tierqueue.tasks.jobs.expectation import Expected, expected, repriced
from tierqueue.tasks.jobs.quote import escalations
from tierqueue.tasks.routing.decide import work_item_of
from tierqueue.tasks.routing.measured import Measured

NOWHERE = "nowhere"
"""Where an item goes that is refused."""


@dataclass(frozen=True, slots=True)
class Move:
    """An item that would go elsewhere: from which deployment, to which, and why there."""

    item: str
    before: str
    after: str
    why: str


@dataclass(slots=True)
class Replayed:
    """What a policy would have done with recorded items; money in nano-dollars.

    ``spent`` is what they did cost, ``expected`` what they would; ``unknown`` counts those of which
    the first deployment has no answers yet. ``refused``: ids by the reason of the dead letter.
    """

    items: int = 0
    spent: int = 0
    expected: Expected = field(default_factory=Expected)
    unknown: int = 0
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    refused: dict[str, list[str]] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)

    @property
    def by_deployment(self) -> dict[str, tuple[int, int]]:
        """How many items went to each deployment first, and how many would."""
        names = self.before.keys() | self.after.keys()
        return {name: (self.before[name], self.after[name]) for name in names}

    def to_json(self) -> dict[str, Any]:
        """The whole as plain JSON."""
        return {
            "items": self.items,
            "spent_nanousd": self.spent,
            "expected_nanousd": round(self.expected.value),
            "low_nanousd": round(self.expected.low),
            "high_nanousd": round(self.expected.high),
            "unknown": self.unknown,
            "deployments": {
                name: {"before": before, "after": after}
                for name, (before, after) in sorted(self.by_deployment.items())
            },
            "refused": self.refused,
            "moves": [asdict(move) for move in self.moves],
        }


def replayed(
    items: Iterable[tuple[Item, str | None]],
    policy: Policy,
    past: Mapping[str, Mapping[tuple[str, bool], Past]],
    measured: Measured,
) -> Replayed:
    """Choose for each item, as at its submission, by ``policy``; each comes with the deployment
    that it went to first. ``past`` is by task type; ``measured``: what routing
    is told, of which the queues of today say nothing of then.
    """
    found = Replayed()
    for item, before in items:
        found.items += 1
        found.spent += item.spent
        found.before[before or NOWHERE] += 1
        conditions = replace(measured.conditions(item.submitted_at), queues={})
        work = _afresh(item, policy)
        signals = measure(work, {})
        chosen = choose(work, signals, policy, conditions)
        after = NOWHERE
        if isinstance(chosen, Route):
            after, why = chosen.deployment, chosen.reasons[0]
            steps = [chosen, *escalations(work, chosen, signals, policy, conditions)]
            known = _known(past.get(item.task, {}), policy)
            likely = expected(
                [(step.deployment, step.bound) for step in steps],
                repriced(steps, known, policy, item.submitted_at),
            )
            if likely is None:
                found.unknown += 1
            bound = float(chosen.bound)
            cost = Expected(0.0, bound, bound) if likely is None else likely[0]
            found.expected = found.expected + cost
        else:
            why = chosen.message
            if before is not None:
                found.refused.setdefault(chosen.reason, []).append(item.id)
        found.after[after] += 1
        if after != (before or NOWHERE):
            found.moves.append(Move(item.id, before or NOWHERE, after, why))
    return found


def _afresh(item: Item, policy: Policy) -> WorkItem:
    """The item as it came in: nobody has tried it, and nothing is spent."""
    work = work_item_of(item, policy, item.submitted_at)
    return replace(work, refused_by=(), too_small={}, spent=NOTHING, only=None, called=False)


def _known(past: Mapping[tuple[str, bool], Past], policy: Policy) -> dict[str, Past]:
    return {
        name: there
        for name, deployment in policy.deployments.items()
        if (there := past.get((name, deployment.simulated))) is not None and there.items
    }
