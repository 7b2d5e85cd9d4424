"""Rows for the gain predictor: which of two tiers was right, by answers that the ledger holds.

Second answers ask two tiers the same, and so do evaluations; an item that was refused below was
asked of two tiers as well. Since second answers are only asked for what was accepted, what was
refused counts beside them as often as it came, and no more often.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tierqueue.ledger.evaluation.answers_by_tier import AnsweredItem, TierAnswer
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.learned.gain import Traits
from tierqueue.router.learned.gain_training import LabelledPair
from tierqueue.router.learned.surrogate import surroundings
from tierqueue.tasks.evaluation.labelled_set import compared, same

Pair = tuple[Tier, Tier]
"""A tier, and one above it."""


@dataclass(slots=True)
class _Question:
    """All that is known of one question, whoever asked it."""

    content: str
    traits: Traits
    first: tuple[str, bool] | None = None
    """Where work of this kind went first, and whether it was accepted there; ``None``: it is only
    known of an evaluation."""
    truths: list[Any] = field(default_factory=list)
    answers: dict[str, list[tuple[TierAnswer, bool | None]]] = field(default_factory=dict)
    """By tier, each with what people said of it."""


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Rows of a pair of tiers. ``believed``: of so many the stronger tier's answer counts as right,
    because nobody has said what is; ``unsaid``: so many are left out for that. ``apart``: so many
    were refused below, and left out, since nobody was asked twice of what was accepted there.
    """

    pair: Pair
    rows: list[LabelledPair]
    believed: int
    unsaid: int
    apart: int
    simulated: int


class Gains:
    """Collects answers to one task type, whose text is in ``argument``.

    ``field_name``: what of an output is compared, else all but a confidence. ``believe``: where
    nobody said what is right, the stronger tier's accepted answer is.
    """

    def __init__(
        self,
        task: str,
        argument: str,
        prompt_version: str,
        field_name: str | None,
        *,
        believe: bool,
    ) -> None:
        self._task, self._argument, self._version = task, argument, prompt_version
        self._field, self._believe = field_name, believe
        self._asked: dict[str, _Question] = {}

    def add(self, item: AnsweredItem) -> None:
        """One more item, the newest first."""
        content = item.arguments.get(self._argument)
        if not isinstance(content, str):
            return
        key = _key(item.arguments)
        asked = self._asked.get(key)
        if asked is None:
            template = surroundings(item.arguments, self._argument, self._version)
            asked = self._asked[key] = _Question(content, Traits(item.budget, template))
        if not item.drawn:
            begun = item.answers[0]
            asked.first = (begun.tier, begun.accepted)
        if item.truth is not None:
            asked.truths.append(item.truth)
        for answer in item.answers:
            said = item.correct if answer.accepted else None
            asked.answers.setdefault(answer.tier, []).append((answer, said))

    @property
    def pairs(self) -> Counter[Pair]:
        """How many questions each pair of tiers has answered."""
        found: Counter[Pair] = Counter()
        for asked in self._asked.values():
            there = [tier for tier in TIERS if tier.value in asked.answers]
            found.update((low, high) for at, low in enumerate(there) for high in there[at + 1 :])
        return found

    def of(self, pair: Pair) -> TrainingRows:
        """The rows of a pair of tiers."""
        rows: dict[tuple[str, bool] | None, list[LabelledPair]] = {}
        came: Counter[tuple[str, bool] | None] = Counter()
        believed = unsaid = simulated = 0
        for asked in self._asked.values():
            came[asked.first] += 1
            if any(tier.value not in asked.answers for tier in pair):
                continue
            truth = next(iter(asked.truths), None)
            if truth is None and self._believe:
                truth = _accepted(asked, pair[1])
                believed += truth is not None
            right = [self._right(asked, tier, truth) for tier in pair]
            if right[0] is None or right[1] is None:
                unsaid += 1
                continue
            simulated += any(one.simulated for t in pair for one, _ in asked.answers[t.value])
            row = LabelledPair(self._task, asked.content, right[0], right[1], asked.traits)
            rows.setdefault(asked.first, []).append(row)
        apart = _without_their_like(rows)
        return TrainingRows(pair, _weighed(rows, came), believed, unsaid, apart, simulated)

    def _right(self, asked: _Question, tier: Tier, truth: Any) -> bool | None:
        """Whether the tier was right; ``None`` where that is not known."""
        found = asked.answers[tier.value]
        accepted = [(answer, said) for answer, said in found if answer.accepted]
        if said := [said for _, said in accepted if said is not None]:
            return said[0]
        answer = accepted[0][0] if accepted else found[-1][0]
        if truth is not None and answer.output is not None:
            return same(compared(answer.output, self._field), compared(truth, self._field))
        # What was refused, and is not known to be right after all, was not good enough.
        return None if accepted else False


def _key(arguments: Mapping[str, Any]) -> str:
    told = json.dumps(arguments, sort_keys=True, default=str)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _accepted(asked: _Question, tier: Tier) -> Any:
    return next((one.output for one, _ in asked.answers[tier.value] if one.accepted), None)


def _without_their_like(rows: dict[tuple[str, bool] | None, list[LabelledPair]]) -> int:
    """Take out what was refused where nothing is known of what was accepted; returns how many."""
    alone = [
        first
        for first in rows
        if first is not None and not first[1] and (first[0], True) not in rows
    ]
    return sum(len(rows.pop(first)) for first in alone)


def _weighed(
    rows: Mapping[tuple[str, bool] | None, list[LabelledPair]],
    came: Counter[tuple[str, bool] | None],
) -> list[LabelledPair]:
    """Each row with the number of items that it stands for, at a mean of one; those of evaluations
    count once.
    """
    work = {first: found for first, found in rows.items() if first is not None}
    whole = sum(came[first] for first in work)
    known = sum(len(found) for found in work.values())
    weighed = list(rows.get(None, ()))
    for first, found in work.items():
        weight = came[first] / len(found) * known / whole
        weighed += [replace(row, weight=weight) for row in found]
    return weighed
