"""Rows of a file that would take no call of their own: who would answer each, for a quote."""

from collections.abc import Mapping, Sequence

from tierqueue.ledger.in_force import reusable_answers
from tierqueue.ledger.in_force.reusable_answers import FormerItem
from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.ledger.operations import job_rows
from tierqueue.ledger.session import Ledger
from tierqueue.router.item import WorkItem
from tierqueue.router.route import Route
from tierqueue.router.signals import Signals
from tierqueue.tasks.routing.forecast.answerers import REUSED, Answerers, ForeseenAnswer
from tierqueue.tasks.submission import fingerprint
from tierqueue.tasks.submission.item_task import ItemTask

Routes = Sequence[tuple[WorkItem, Signals, Route]]
"""The calls of a row, each with where it would go."""


class RowsBelow:
    """Says of the rows of one file who answers them without a call: another row that is the same, a
    rule, an earlier answer, a surrogate. ``now`` in epoch microseconds; ``run``: whose earlier jobs
    have asked some already, which is not paid again.
    """

    def __init__(self, ledger: Ledger, first: Answerers, now: int, run: str | None = None) -> None:
        self._ledger, self._first, self._now = ledger, first, now
        self._seen: set[int] = set()
        if run is not None:
            with ledger.read() as connection:
                self._seen.update(map(_number, job_rows.fingerprints(connection, run)))

    def answers(self, new: NewItem, routed: Routes, number: int) -> ForeseenAnswer | None:
        """Who answers the row; ``None``: a model. What is audited, and asked under another prompt,
        is drawn by the row's ``number``: as many as of the items that it will be, not the same.
        """
        if (kind := ItemTask.declared.get(new.task)) is not None:
            asked = _number(fingerprint.of_item(kind, new))
            if asked in self._seen:
                return REUSED
            self._seen.add(asked)
        if len(routed) != 1 or not self._first:
            return None
        ((work, _, route),) = routed
        foreseen = self._first.foreseen(new, new.arguments, work.demands, str(number))
        asks, reused = foreseen.asking, False
        if asks is not None and foreseen.rule is None:
            there = self._former([asks.key]).get(asks.key)
            reused = self._first.reused(there, work, asks, route, self._now)
        return foreseen.answer(reused=reused)

    def _former(self, keys: Sequence[str]) -> Mapping[str, FormerItem]:
        with self._ledger.read() as connection:
            return reusable_answers.former(connection, keys)


def _number(hashed: str) -> int:
    return int(hashed[:15] or "0", 16)
