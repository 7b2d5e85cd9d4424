"""Jobs that are due: a schedule's file or query is submitted, once each time, kill or no kill.

Whoever takes a run has its lease and renews it. After a kill another goes on in the same job.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tierqueue.ledger.operations import jobs, schedules
from tierqueue.ledger.operations.schedules import DueRun
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import Cancelled, InvalidItem
from tierqueue.router.policy.duration import MINUTE_US
from tierqueue.tasks.files.source import Reading
from tierqueue.tasks.jobs.export.into_table import IntoTable
from tierqueue.tasks.jobs.submission import Submission
from tierqueue.tasks.schedules.firing import task_of
from tierqueue.tasks.ticker import Ticker

LEASE_US = MINUTE_US
"""Microseconds after which a silent process's job is taken from it."""

_RENEW_SECONDS = 15.0
"""Seconds between two renewals."""


def submit_one(ledger: Ledger, wake: Callable[[], None]) -> bool:
    """Submit the job of one run, where one is due; returns whether there was one."""
    with ledger.write() as connection:
        owed = schedules.take_job(connection, database_now(connection), LEASE_US)
    if owed is None:
        return False
    error = None
    with _leased(ledger, owed):
        try:
            if not _is_whole(ledger, owed.job_id):
                _submit(ledger, owed, wake)
        except (InvalidItem, Cancelled) as refused:
            error = refused.message
    with ledger.write() as connection:
        name, due = owed.schedule.name, owed.due
        schedules.note_run(connection, name, due, lease_until=None, error=error)
    return True


def _submit(ledger: Ledger, owed: DueRun, wake: Callable[[], None]) -> None:
    schedule = owed.schedule
    assert schedule.source is not None
    source = dict(schedule.source)
    path, column, most = Path(source.pop("path")), source.pop("column"), source.pop("max_cost")
    into = source.pop("into", None)

    def begun(job_id: str) -> None:
        with ledger.write() as connection:
            schedules.note_run(connection, schedule.name, owed.due, job_id=job_id)

    Submission(
        task_of(schedule), path, dict(schedule.call), column=column, reading=Reading(**source)
    ).submit(
        ledger,
        wake,
        max_cost=most,
        progress=lambda _committed, _total: None,
        into=None if into is None else IntoTable(**into),
        by=f"schedule {schedule.name}",
        begun=begun,
    )


def _is_whole(ledger: Ledger, job_id: str | None) -> bool:
    """Whether somebody had submitted the whole job, and was killed before it said so."""
    if job_id is None:
        return False
    with ledger.read() as connection:
        job = jobs.get(connection, job_id)
    return job is not None and job.complete


@contextmanager
def _leased(ledger: Ledger, owed: DueRun) -> Iterator[None]:
    def renew() -> None:
        with ledger.write() as connection:
            until = database_now(connection) + LEASE_US
            schedules.note_run(connection, owed.schedule.name, owed.due, lease_until=until)

    # The lease outlasts a short outage of the ledger.
    ticker = Ticker("scheduled job's lease", renew, _RENEW_SECONDS)
    ticker.start()
    try:
        yield
    finally:
        # A renewal after the run was noted as done would have it submitted again.
        ticker.stop(wait=None)
