"""Jobs: many items from one file, watched, paid for and cancelled together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import false, select, update

from tierqueue.ledger import audit_log, tables
from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.job_records import JOB, JobRecord
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.operations import job_counts
from tierqueue.ledger.operations.job_counts import JobCounts, TierCount
from tierqueue.ledger.paging import page
from tierqueue.ledger.results import simulated
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import Cancelled
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.duration import MINUTE_US
from tierqueue.router.policy.tables import CeilingRule

_ITEMS, _JOBS, _ROWS = tables.items, tables.jobs, tables.job_rows
_OPEN = [state.value for state in State if state not in ENDS]

SILENT_US = MINUTE_US
"""Microseconds without a new row after which a job's submission has stopped: it commits hundreds
at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """Where a job's items are; money in nano-dollars.

    ``states``: rows by the state of their item; ``dead``: dead letters by reason; ``total``: rows
    of the file, of which ``submitted`` have items, ``reused`` those of other rows. ``stopped``:
    there are fewer, and nobody adds any; ``sampled``: these are a sample. ``spent`` is what
    providers have said, and never falls; ``booked`` stands for calls whose bill is not known and
    may be corrected; ``held`` for calls under way; ``under_way`` is what of both are pieces of
    documents that have not ended. ``simulated``: some of the money or the answers is.
    """

    states: dict[str, int]
    dead: dict[str, int]
    spent: int
    booked: int
    held: int
    total: int
    submitted: int
    reused: int
    max_cost: int | None
    complete: bool
    stopped: bool
    sampled: bool
    cancelled: bool
    under_way: int = 0
    simulated: bool = False

    @property
    def ended(self) -> int:
        """How many items reached an end."""
        return sum(self.states.get(end.value, 0) for end in ENDS)

    @property
    def over(self) -> bool:
        """Whether nothing of the job is left to do, or will be."""
        whole = self.complete or self.stopped or self.sampled
        return whole and self.ended == self.submitted


def create(connection: Transaction, **job: Any) -> str:
    """Open a job, as ``insert`` says."""
    job_id = insert(connection, **job)
    assert job_id is not None
    return job_id


def insert(
    connection: Transaction,
    *,
    task: str,
    source: str,
    max_cost: int | None,
    now: int,
    total: int = 0,
    run: str | None = None,
    path: str | None = None,
    reading: Mapping[str, Any] | None = None,
    sample: Mapping[str, Any] | None = None,
) -> str | None:
    """Open a job of ``total`` rows (0: not known yet); its ``max_cost`` (nano-dollars) is a ceiling
    over all its items. ``path`` and ``reading``: where its file is, and how it was read.

    ``None`` where another job of ``run`` is being submitted.
    """
    job_id = new_id()
    made = connection.execute(
        upsert(connection, _JOBS)
        .values(
            id=job_id,
            task=task,
            source=source,
            max_cost=max_cost,
            submitted_at=now,
            complete=False,
            total=total,
            run=run,
            path=path,
            reading=reading and dict(reading),
            sample=sample and dict(sample),
        )
        .on_conflict_do_nothing()
    )
    if not made.rowcount:
        return None
    if max_cost is not None:
        limit(connection, job_id, max_cost, now)
    return job_id


def limit(connection: Transaction, job_id: str, max_cost: int, now: int) -> None:
    """Set the ceiling over all items of a job, in nano-dollars."""
    rule = CeilingRule.model_construct(
        scope="job", name=job_id, window="total", timezone="UTC", limit=NanoUSD(max_cost)
    )
    books.put(connection, rule, by="job", now=now)


def accepting(connection: Transaction, job_id: str) -> None:
    """Raise ``Cancelled`` if the job was; asked in the transaction that adds rows to it."""
    found = select(_JOBS.c.cancelled_at).where(_JOBS.c.id == job_id).with_for_update()
    if connection.execute(found).scalar_one() is not None:
        raise Cancelled(f"job {job_id} was cancelled: no more of its rows are added")


def complete(connection: Transaction, job_id: str, total: int) -> None:
    """Every one of the file's ``total`` rows is an item now."""
    whole = {"complete": True, "total": total, "sample": None}
    connection.execute(update(_JOBS).where(_JOBS.c.id == job_id).values(**whole))


def get(connection: Transaction, job_id: str) -> JobRecord | None:
    """One job, or ``None``."""
    row = connection.execute(select(*JOB).where(_JOBS.c.id == job_id)).first()
    return None if row is None else JobRecord.from_row(row)


def newest(connection: Transaction, limit: int, after: JobRecord | None = None) -> list[JobRecord]:
    """The jobs submitted last, the newest first; the next page comes ``after`` the last of one."""
    place = None if after is None else (after.submitted_at, after.id)
    found = page(select(*JOB), _JOBS.c.submitted_at, _JOBS.c.id, limit, place)
    return [JobRecord.from_row(row) for row in connection.execute(found)]


def progress(connection: Transaction, job_id: str) -> JobProgress:
    """Where the job's items are now; raises ``KeyError`` for an unknown job."""
    return with_paces(connection, job_id, database_now(connection))[0]


def with_paces(
    connection: Transaction, job_id: str, since: int
) -> tuple[JobProgress, list[TierCount]]:
    """``progress``, and of the same moment what its own items cost and which ended after ``since``
    (epoch microseconds).
    """
    if (job := get(connection, job_id)) is None:
        raise KeyError(job_id)
    counted = job_counts.counted(connection, job_id, since)
    return _progress(connection, job, counted), counted.paces


def _progress(connection: Transaction, job: JobRecord, counted: JobCounts) -> JobProgress:
    submitted = counted.submitted
    complete = job.complete or job.cancelled_at is not None
    sampled = not complete and job.is_sample
    return JobProgress(
        states=counted.states,
        dead=counted.dead,
        spent=counted.spent,
        booked=counted.booked,
        held=counted.held,
        total=max(job.total, submitted),
        submitted=submitted,
        reused=counted.reused,
        max_cost=job.max_cost,
        complete=complete,
        stopped=not (complete or sampled) and _silent(connection, job, database_now(connection)),
        sampled=sampled,
        cancelled=job.cancelled_at is not None,
        under_way=max(0, counted.under_way),
        simulated=simulated.of_job(connection, job.id),
    )


def stopped(connection: Transaction, limit: int) -> list[tuple[JobRecord, int]]:
    """Jobs whose submission ended before their file did, the newest first, and how many of their
    rows are items.
    """
    open_ = select(*JOB).where(_JOBS.c.complete.is_(False), _JOBS.c.cancelled_at.is_(None))
    newest_first = open_.order_by(_JOBS.c.submitted_at.desc(), _JOBS.c.id.desc()).limit(limit)
    now = database_now(connection)
    return [
        (job, job_counts.counted(connection, job.id, now).submitted)
        for job in map(JobRecord.from_row, connection.execute(newest_first).all())
        if not job.is_sample and _silent(connection, job, now)
    ]


def _silent(connection: Transaction, job: JobRecord, now: int) -> bool:
    """Whether no row of a job has been added for long."""
    last = (
        select(_ITEMS.c.submitted_at)
        .where(_ITEMS.c.job_id == job.id, _ITEMS.c.job_index.is_not(None))
        .order_by(_ITEMS.c.job_index.desc())
        .limit(1)
    )
    added: int = connection.execute(last).scalar() or 0
    return max(job.submitted_at, added) < now - SILENT_US


class Result(NamedTuple):
    """A row of a job as it is given to scripts, in this order."""

    id: str
    """The item's."""
    state: State
    """Where the item is."""
    reason: str | None
    """Why it waits or ended, as a code."""
    output: Any
    """Its answer; ``None`` until it has succeeded, and once erased."""
    receipt: Mapping[str, Any] | None
    """What the answer took and cost."""
    error: Mapping[str, Any] | None
    """What ended it: ``reason``, ``message``, ``fields``."""
    metadata: Mapping[str, Any] | None
    """The caller's own keys and values."""
    spent: NanoUSD
    """Nano-dollars, over all its attempts."""
    job_index: int
    """Which row, from 0."""
    shared: bool
    """Whether the item is another row's."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The result of a row of its columns, in its order."""
        result = cls._make(row)
        return result._replace(state=State(result.state))

    def __repr__(self) -> str:
        """Its name alone: what was answered stands in no log."""
        return f"Result(id={self.id!r}, state={self.state.value!r})"


def results(connection: Transaction, job_id: str, after_index: int, limit: int) -> list[Result]:
    """Up to ``limit`` of the job's rows with an index above ``after_index``, in file order, each
    with the item that answers it.

    Begin with -1 and go on with the last ``job_index``; an item's ``output`` is null until it has
    succeeded.
    """
    shown = [_ITEMS.c[name] for name in Result._fields[:-2]]
    job = get(connection, job_id)
    if job is not None and job.path:
        found = select(*shown, _ROWS.c.number, _ROWS.c.fingerprint.is_(None))
        found = found.join(_ROWS, _ROWS.c.item_id == _ITEMS.c.id)
        place, of = _ROWS.c.number, _ROWS.c.job_id
    else:
        found = select(*shown, _ITEMS.c.job_index, false())
        place, of = _ITEMS.c.job_index, _ITEMS.c.job_id
    page = found.where(of == job_id, place > after_index).order_by(place).limit(limit)
    return [Result.from_row(row) for row in connection.execute(page)]


def cancel(connection: Transaction, job_id: str, by: str, batch: int = 500) -> int | None:
    """Cancel the job and up to ``batch`` of its items; call again until it returns ``None``.

    Returns how many rows ended. From the first call on no row is added to it. Running items end
    when their calls are aborted and are not counted, as little as the pieces of a document.
    Raises ``KeyError`` for an unknown job.
    """
    found = select(_JOBS.c.cancelled_at).where(_JOBS.c.id == job_id).with_for_update()
    if (row := connection.execute(found).first()) is None:
        raise KeyError(job_id)
    if row.cancelled_at is None:
        at = database_now(connection)
        ended = {"cancelled_at": at, "sample": None}
        connection.execute(update(_JOBS).where(_JOBS.c.id == job_id).values(**ended))
        audit_log.note(connection, by=by, what="cancel job", detail={"job": job_id})
    asked = (
        select(_ITEMS.c.id, _ITEMS.c.part_of)
        .where(
            _ITEMS.c.job_id == job_id,
            _ITEMS.c.state.in_(_OPEN),
            _ITEMS.c.cancel_requested.is_(False),
        )
        .order_by(_ITEMS.c.id)
        .limit(batch)
    )
    whole_of = {row.id: row.part_of for row in connection.execute(asked)}
    if not whole_of:
        return None
    cancelled = items.cancel(connection, list(whole_of), by).ended
    return sum(whole_of.get(one.item_id, "") is None for one in cancelled)
