"""Rows of jobs go back into somebody's table as they end, each once, whoever is killed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from tierqueue.ledger.job_records import SinkRow
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.operations.foreign_database import TargetTable, filled
from tierqueue.ledger.results import earlier_sinks, sinks
from tierqueue.ledger.results.sinks import Sink
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import ENDS
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.jobs.export import answers
from tierqueue.tasks.jobs.export.answers import Shape
from tierqueue.tasks.jobs.export.into_table import IntoTable
from tierqueue.workers.maintenance.retrying import next_try

_log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0
"""Seconds between two looks that find none due."""

_TICK_US, _REST_US = 2 * SECOND_US, 30 * SECOND_US
"""Microseconds between two looks at a job, and at one that is not whole and has nothing to do."""

_PAGE = 500
"""Rows that are looked at together, and of which those that have ended are one transaction."""

_PAGES = 20
"""Pages of one check: it costs the same however many rows a job has."""

_SECONDS = 20
"""The longest that the database may take for a connection or a statement."""

_ALONE_US = 60 * SECOND_US
"""Microseconds that a sink is left to whoever writes its next page."""


class JobSinks:
    """Many stages share the sinks through the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def one(self) -> bool:
        """Look at one job, and write what of it has ended; false: none is due."""
        with self._ledger.write() as connection:
            now = database_now(connection)
            sink = sinks.take(connection, now, now + _ALONE_US)
            if sink is None:
                return False
            progress = jobs.progress(connection, sink.job_id)
            job = jobs.get(connection, sink.job_id)
        assert job is not None, sink.job_id
        over = progress.over and (progress.complete or progress.cancelled)
        if sink.after is None and sink.seen == progress.ended and not over:
            with self._ledger.write() as connection:
                again = now + (_REST_US if progress.over else _TICK_US)
                sinks.note(connection, sink.job_id, look_at=again)
            return True
        check = _Check(self._ledger, sink, now + _ALONE_US, answers.of_documents(job))
        after = -1 if sink.after is None else sink.after
        ended = progress.ended if sink.after is None else sink.ended
        failed: str | None = None
        last: int | None = after
        try:
            last = check.pages(after, refused=over)
        except InvalidItem as error:
            unset = f"the routing stage has no {sink.place.removeprefix('env:')}"
            failed = str(error.fields.get("kind", unset))
        self._note(check, last, ended, failed, over=over, cancelled=over and progress.cancelled)
        return True

    def _note(
        self,
        check: _Check,
        last: int | None,
        ended: int,
        failed: str | None,
        *,
        over: bool,
        cancelled: bool,
    ) -> None:
        sink = check.sink
        with self._ledger.write() as connection:
            if not sinks.holds(connection, sink.job_id, check.until):
                return
            now = database_now(connection)
            rows, refused = sinks.refusal(connection, sink.job_id)
            more = sinks.left(connection, sink.job_id, -1, 1, refused=True)
            why = failed or refused
            values: dict[str, Any] = {"after": last, "ended": ended, "error": why}
            if last is None and failed is None:
                values["seen"] = ended
            again: int | None = now + _TICK_US
            # A row that was refused is tried again once all others are written.
            stuck = failed is not None or (over and last is None and rows > 0)
            tries = sink.tries + 1 if stuck else 0
            if stuck:
                again = None if cancelled else next_try(now, tries)
            elif over and last is None and not more:
                again = None
            if why is not None:
                values["failed_at"] = now
            sinks.note(connection, sink.job_id, **values, tries=tries, look_at=again)
        if why is not None and (stuck or sink.error is None):
            _log.error("sink_failed", job=sink.job_id, why=why, rows=rows, tries=tries)


class _Check:
    """One check of a sink, which is left to it ``until`` then; ``superseded``: it is no more.

    ``of_documents``: the columns that its job's rows have as documents.
    """

    def __init__(self, ledger: Ledger, sink: Sink, until: int, of_documents: Sequence[str]) -> None:
        self._ledger = ledger
        self.sink = sink
        self.until = until
        self._of_documents = of_documents
        self._shape = Shape(sink.prefix, flat=True)
        self._to = IntoTable(sink.place, sink.table_name, sink.key, sink.prefix)
        self._into: TargetTable | None = None
        self.superseded = False

    def pages(self, after: int, *, refused: bool) -> int | None:
        """Write what has ended of the rows after number ``after``, a few pages of them; returns
        where it stopped, ``None`` at the end. Raises ``InvalidItem`` where nothing can be written.
        """
        for _ in range(_PAGES):
            with self._ledger.read() as connection:
                page = sinks.left(connection, self.sink.job_id, after, _PAGE, refused=refused)
            ended = self._again([row for row in page if row.answer.state in ENDS])
            if ended:
                self._write(ended)
            if self.superseded or len(page) < _PAGE:
                return None
            after = page[-1].answer.number
        return after

    def _again(self, rows: Sequence[SinkRow]) -> list[SinkRow]:
        """The rows without those that the job before has written and that stand in the table: they
        are left as they are. What was paid for one is told with it again.
        """
        shared = [row for row in rows if row.answer.fingerprint is None]
        if not shared:
            return list(rows)
        with self._ledger.read() as connection:
            before = earlier_sinks.before(connection, self.sink.job_id, self._to.stated(), shared)
        told = {number for number, (own, _) in before.items() if own}
        said = [_paid_for(row) if row.answer.number in told else row for row in rows]
        written = [row for row in said if before.get(row.answer.number, (False, False))[1]]
        unchanged = self._unchanged(written) if written else []
        if unchanged:
            self._mark(unchanged, None)
        left = {row.answer.number for row in unchanged}
        return [] if self.superseded else [row for row in said if row.answer.number not in left]

    def _unchanged(self, rows: Sequence[SinkRow]) -> list[SinkRow]:
        try:
            there = self._table().there([self._cells(row) for row in rows])
        except InvalidItem as error:
            if not error.fields.get("row"):
                raise
            return []
        return [row for row, stands in zip(rows, there, strict=True) if stands]

    def _write(self, rows: Sequence[SinkRow]) -> None:
        """One transaction; where a row of it is to blame, the halves by themselves."""
        try:
            self._table().put([self._cells(row) for row in rows])
        except InvalidItem as error:
            if not error.fields.get("row"):
                raise
            if len(rows) == 1:
                self._mark(rows, str(error.fields["kind"]))
                return
            half = len(rows) // 2
            self._write(rows[:half])
            if not self.superseded:
                self._write(rows[half:])
            return
        self._mark(rows, None)

    def _table(self) -> TargetTable:
        if self._into is None:
            to = self._to
            with filled(to.url(), to.table, to.key, _SECONDS) as self._into:
                pass
        return self._into

    def _cells(self, row: SinkRow) -> dict[str, Any]:
        output, error = answers.outcome(row.answer)
        said = {self.sink.key: row.key, **answers.added(row.answer, output, error, self._shape)}
        names = self._of_documents
        said |= {f"{self._shape.prefix}{name}": None for name in names}
        if names and output is not None:
            text = ""
            if output.get("quotations"):
                with self._ledger.read() as connection:
                    text = sinks.text_of(connection, row.answer.id)
            pages = row.pages or (0,)
            said |= answers.about_document(names, row.answer, text, pages, self._shape)
        return said

    def _mark(self, rows: Sequence[SinkRow], why: str | None) -> None:
        turns = {row.answer.number: row.turn for row in rows}
        with self._ledger.write() as connection:
            own = sinks.mark(connection, self.sink.job_id, self.until, turns, why)
            if own:
                self.until = database_now(connection) + _ALONE_US
                sinks.note(connection, self.sink.job_id, look_at=self.until)
        self.superseded = self.superseded or not own


def _paid_for(row: SinkRow) -> SinkRow:
    """The row as the one that its item was made for."""
    return row._replace(answer=row.answer._replace(fingerprint=""))
