"""Recorded items that would take no call under another policy: who would answer each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tierqueue.ledger.records import Item
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.decide import demands_of
from tierqueue.tasks.routing.forecast.answerers import (
    NOBODY,
    Answerers,
    Forecast,
    ForeseenAnswer,
)


@dataclass(slots=True)
class ItemsBelow:
    """Says of recorded items, in the order in which they came, who answers them without a call: a
    rule, the answer to an earlier one of them, a surrogate.
    """

    first: Answerers
    policy: Policy
    _foreseen: dict[str, Forecast] = field(default_factory=dict)
    _given: dict[str, int] = field(default_factory=dict)
    """When a model's answer was given, by what was asked."""

    def read(self, item: Item, arguments: Mapping[str, Any]) -> None:
        """Look at what an item was called with, which is not kept."""
        demands = demands_of(item, self.policy, item.submitted_at)
        found = self.first.foreseen(item, arguments, demands, item.id)
        if found != NOBODY:
            self._foreseen[item.id] = found

    def answers(self, item: Item, answered_at: int | None) -> ForeseenAnswer | None:
        """Who answers it; ``None``: a model, whose answer of then (``answered_at``, epoch
        microseconds, where there was one) may answer later ones.
        """
        found = self._foreseen.get(item.id)
        if found is None:
            return None
        key = None if found.asking is None else found.asking.key
        given = self._given.get(key) if key is not None else None
        lives = given is not None and self.first.reuse.lives(item.task, given, item.submitted_at)
        reused = given is not None and given <= item.submitted_at and lives
        answer = found.answer(reused=reused)
        if answer is None and key is not None and answered_at is not None:
            self._given[key] = answered_at
        return answer
