"""Jobs from Python: a file is submitted, watched, and given back with its answers."""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import parse_usd
from tierqueue.tasks.app import app
from tierqueue.tasks.files.source import Reading
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.pieces import Pieces

if TYPE_CHECKING:
    from tierqueue.ledger.job_records import JobRecord
    from tierqueue.ledger.operations.jobs import JobProgress
    from tierqueue.tasks.jobs.export.into_table import IntoTable
    from tierqueue.tasks.jobs.outlook import Outlook

_TICK_SECONDS = 0.5
"""Seconds between two checks of a job that is waited for."""


class Job:
    """A job by its id: of this process or another, of Python or of the command line."""

    def __init__(self, job_id: str) -> None:
        self.id = job_id

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def progress(self) -> "JobProgress":
        """Where its rows are and what they have cost, in nano-dollars.

        Raises ``InvalidItem`` for a job that is not there.
        """
        from tierqueue.ledger.operations import jobs

        self._row()
        with app.installation.ledger.read() as connection:
            return jobs.progress(connection, self.id)

    def outlook(self) -> "Outlook":
        """What it will have cost in the end, with its range, rows a second and the seconds until
        the last row ends, and each tier's part of these; money in nano-dollars.

        Raises ``InvalidItem`` for a job that is not there.
        """
        from tierqueue.tasks.jobs.outlook import outlook_of

        self._row()
        return outlook_of(app.installation.ledger, self.id)[1]

    def wait(self, timeout: float | None = None) -> "JobProgress":
        """Wait until every row has ended and, where the job has a table, stands in it.

        Raises ``TimeoutError`` after ``timeout`` seconds, and ``InvalidItem`` where rows cannot be
        written into the table, which is tried again.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not (now := self.progress()).over or self._unwritten(now):
            left = _TICK_SECONDS if until is None else until - time.monotonic()
            if left <= 0:
                said = f"{now.ended} of {now.total} rows have ended"
                more = ", and not all are written into their table" if now.over else ""
                raise TimeoutError(f"job {self.id}: {said}{more}")
            time.sleep(min(_TICK_SECONDS, left))
        return now

    def _unwritten(self, now: "JobProgress") -> bool:
        """Whether rows of the job, which is over, are still to be written into its table."""
        from tierqueue.ledger.results import sinks

        with app.installation.ledger.read() as connection:
            sink = sinks.get(connection, self.id)
        # Of a job that is not whole the table is not done either, and nobody waits for that.
        if sink is None or not (now.complete or now.cancelled):
            return False
        if sink.error is not None:
            raise InvalidItem(
                f"job {self.id}: rows cannot be written into {sink.table_name} ({sink.error}):"
                " tierqueue doctor says what to do"
            )
        return sink.look_at is not None

    def results(self, *, flat: bool = False, prefix: str = "") -> Iterator[dict[str, Any]]:
        """Every row of the file in its order, with ``output``, ``error``, ``tier``, ``cost`` in
        dollars and ``item`` added; ``flat`` gives each field of an answer a column of its own,
        ``prefix`` stands before each added name. The file must be there.
        """
        from tierqueue.tasks.jobs.export.answers import Shape
        from tierqueue.tasks.jobs.export.results import JobResults

        yield from JobResults(app.installation.ledger, self._row(), Shape(prefix, flat)).rows()

    def cancel(self, by: str = "python") -> int:
        """Cancel what has not ended; running calls are aborted. Returns how many rows ended so."""
        from tierqueue.ledger.operations import jobs

        self._row()
        cancelled = 0
        while True:
            with app.installation.ledger.write() as connection:
                rows = jobs.cancel(connection, self.id, by)
            if rows is None:
                app.installation.wakes.call()
                return cancelled
            cancelled += rows

    def _row(self) -> "JobRecord":
        from tierqueue.ledger.operations import jobs

        with app.installation.ledger.read() as connection:
            row = jobs.get(connection, self.id)
        if row is None:
            raise InvalidItem(f"there is no job {self.id}")
        return row


def submit_job(
    source: str | Path,
    task: ItemTask[..., Any],
    *,
    column: str | None = None,
    max_cost: str | float | Decimal | None = None,
    reading: Reading | None = None,
    retry_failed: bool = False,
    anew: bool = False,
    into: "IntoTable | None" = None,
    pieces: Pieces | None = None,
    **fixed: Any,
) -> Job:
    """Submit a file, a folder or a pattern as ``tierqueue job submit`` does: an item a row.

    ``fixed``: arguments and demands that every row has. ``column``: read this one alone, as the
    task's first argument. ``max_cost`` is the whole job's (``"2usd"``).
    The same call again pays only for what is new or changed, with ``retry_failed`` also for what
    failed, with ``anew`` for every row. ``into``: the table that a routing stage fills in as rows
    end. With ``pieces`` a row whose text is longer than one is done as ``ask_document`` and the
    like do it, and has one answer. Raises ``InvalidItem`` for what is wrong with the whole file or
    the call; nothing is committed by then.
    """
    from tierqueue.tasks.jobs.submission import Submission

    limit = None if max_cost is None else parse_usd(max_cost)
    submission = Submission(
        task, Path(source), fixed, column=column, reading=reading, pieces=pieces
    )
    done = submission.submit(
        app.installation.ledger,
        app.installation.wakes.call,
        max_cost=limit,
        progress=lambda _committed, _total: None,
        retry_failed=retry_failed,
        anew=anew,
        into=into,
    )
    return Job(done.id)
