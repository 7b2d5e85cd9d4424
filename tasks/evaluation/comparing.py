"""Two answers to the same items: how often they say the same, and what each costs and takes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean, stdev

from tierqueue.ledger.evaluation.second_answers import Pair
from tierqueue.router.learned.certify import Interval, share_of
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.tasks.evaluation.labelled_set import compared, same
from tierqueue.tasks.jobs.expectation import student


@dataclass(frozen=True, slots=True)
class Delta:
    """Means over the same items, of the first answers and the second ones, and how much more the
    second is, with its range at 95 %; ``more`` is ``None`` of a single item.
    """

    items: int
    first: float
    second: float
    more: Interval | None


@dataclass(slots=True)
class Comparison:
    """The pairs of one purpose, one deployment that answered first and one that answered again.

    ``waiting``: second items that have not ended; ``failed``: those that ended without an answer,
    by reason. ``accepted``: of the answers, and ``agree``: of the accepted ones that still stand.
    ``cost``: nano-dollars an item, refused answers too; ``seconds``: of the calls of an item, both
    accepted; ``right``: by what people said of the first answers.
    """

    purpose: str
    first: str
    second: str
    simulated: bool
    first_simulated: bool = False
    second_simulated: bool = False
    waiting: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    _refused: int = 0
    _agree: list[bool] = field(default_factory=list)
    _accepted: int = 0
    _cost: list[tuple[float, float]] = field(default_factory=list)
    _seconds: list[tuple[float, float]] = field(default_factory=list)
    _right: list[tuple[float, float]] = field(default_factory=list)

    @property
    def answers(self) -> int:
        """How many second items brought an answer, accepted or refused."""
        return self._accepted + self._refused

    @property
    def accepted(self) -> Interval:
        """The share of the second answers that were accepted; all first ones were."""
        return share_of(self._accepted, self.answers)

    @property
    def agree(self) -> Interval | None:
        """The share of accepted pairs that say the same; ``None`` where none can be read."""
        return share_of(sum(self._agree), len(self._agree)) if self._agree else None

    @property
    def cost(self) -> Delta | None:
        """What an item cost, over its calls."""
        return _delta(self._cost)

    @property
    def seconds(self) -> Delta | None:
        """How long an item's calls took."""
        return _delta(self._seconds)

    @property
    def right(self) -> Delta | None:
        """The share that is right, where somebody said what is."""
        return _delta(self._right)

    def add(self, pair: Pair, field_name: str | None) -> None:
        """Count a pair; ``field_name``: what of an output is compared."""
        first, second = pair.first, pair.second
        self.first_simulated |= first.simulated
        self.second_simulated |= second.simulated
        if second.state not in ENDS:
            self.waiting += 1
            return
        accepted = second.state is State.SUCCEEDED
        if not accepted and not second.refused:
            self.failed[second.reason or second.state.value] += 1
            return
        self._cost.append((first.cost, second.cost))
        self._accepted += accepted
        self._refused += not accepted
        if accepted:
            self._seconds.append((first.seconds, second.seconds))
        if first.output is None or (accepted and second.output is None):
            return
        said = compared(first.output, field_name)
        again = compared(second.output, field_name) if accepted else None
        if accepted:
            self._agree.append(same(again, said))
        truth = pair.corrected if pair.corrected is not None else first.output
        if pair.correct or pair.corrected is not None:
            right = compared(truth, field_name)
            self._right.append((same(said, right), accepted and same(again, right)))


def compare(pairs: Iterable[Pair], field_name: str | None = None) -> list[Comparison]:
    """The pairs by who answered first and who again, the most answers first."""
    groups: dict[tuple[str, str, str, bool], Comparison] = {}
    for pair in pairs:
        simulated = pair.first.simulated or pair.second.simulated
        key = (pair.purpose, pair.first.deployment, pair.second.deployment, simulated)
        groups.setdefault(key, Comparison(*key)).add(pair, field_name)
    return sorted(groups.values(), key=lambda one: (-one.answers, one.purpose, one.first))


def _delta(pairs: Sequence[tuple[float, float]]) -> Delta | None:
    """Student's range of the mean difference, of items that were each answered twice."""
    if not pairs:
        return None
    more = [second - first for first, second in pairs]
    value, between = fmean(more), None
    if len(pairs) > 1:
        off = student(len(pairs) - 1) * stdev(more) / sqrt(len(pairs))
        between = Interval(value - off, value, value + off)
    first, second = (fmean(of) for of in zip(*pairs, strict=True))
    return Delta(len(pairs), first, second, between)
