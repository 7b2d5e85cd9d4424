"""Jobs: many items from one file, watched, paid for and cancelled together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, insert, literal, select, tuple_, update

from tierqueue.ledger import audit_log, tables
from tierqueue.ledger.ceilings import books
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.lifecycle.settlements import BOOKED
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts
from tierqueue.router.errors import Cancelled
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.policy import CeilingRule

_ITEMS, _JOBS = tables.items, tables.jobs
_OPEN = [state.value for state in State if state not in ENDS]

_BOOKED = (
    select(func.coalesce(func.sum(attempts.c.cost), 0))
    .join(_ITEMS, _ITEMS.c.id == attempts.c.item_id)
    .where(attempts.c.outcome.in_(BOOKED), _ITEMS.c.job_id == bindparam("job"))
)

_SHOWN = (
    *("id", "job_index", "state", "reason"),
    *("output", "receipt", "error", "metadata", "spent"),
)


SILENT = 60_000_000
"""Microseconds without a new row after which a job's submission has stopped: it commits hundreds
at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a job's items are; money in nano-dollars.

    ``states``: items by state; ``dead``: dead letters by reason; ``total``: rows of the file, of
    which ``submitted`` are items. ``stopped``: there are fewer, and nobody adds any. ``spent`` is
    what providers have said, and never falls; ``booked`` stands for calls whose bill is not known
    and may be corrected; ``held`` for calls under way.
    """

    states: dict[str, int]
    dead: dict[str, int]
    spent: int
    booked: int
    held: int
    total: int
    submitted: int
    complete: bool
    stopped: bool
    cancelled: bool

    @property
    def ended(self) -> int:
        """How many items reached an end."""
        return sum(self.states.get(end.value, 0) for end in ENDS)

    @property
    def over(self) -> bool:
        """Whether nothing of the job is left to do, or will be."""
        return (self.complete or self.stopped) and self.ended == self.submitted


def create(
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
) -> str:
    """Open a job of ``total`` rows (0: not known yet); its ``max_cost`` (nano-dollars) is a ceiling
    over all its items. ``path`` and ``reading``: where its file is, and how it was read.
    """
    job_id = new_id()
    connection.execute(
        insert(_JOBS).values(
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
        )
    )
    if max_cost is not None:
        rule = CeilingRule.model_construct(
            scope="job", name=job_id, window="total", timezone="UTC", limit=NanoUSD(max_cost)
        )
        books.put(connection, rule, by="job", now=now)
    return job_id


def accepting(connection: Transaction, job_id: str) -> None:
    """Raise ``Cancelled`` if the job was; asked in the transaction that adds rows to it."""
    found = select(_JOBS.c.cancelled_at).where(_JOBS.c.id == job_id).with_for_update()
    if connection.execute(found).scalar_one() is not None:
        raise Cancelled(f"job {job_id} was cancelled: no more of its rows are added")


def complete(connection: Transaction, job_id: str, total: int) -> None:
    """Every one of the file's ``total`` rows is an item now."""
    connection.execute(update(_JOBS).where(_JOBS.c.id == job_id).values(complete=True, total=total))


def get(connection: Transaction, job_id: str) -> RowMapping | None:
    """One job's row, or ``None``."""
    return connection.execute(select(_JOBS).where(_JOBS.c.id == job_id)).mappings().first()


def newest(
    connection: Transaction, limit: int, after: RowMapping | None = None
) -> Sequence[RowMapping]:
    """The jobs submitted last, the newest first; the next page comes ``after`` the last of one."""
    found = select(_JOBS)
    if after is not None:
        place = tuple_(literal(after["submitted_at"]), literal(after["id"]))
        found = found.where(tuple_(_JOBS.c.submitted_at, _JOBS.c.id) < place)
    found = found.order_by(_JOBS.c.submitted_at.desc(), _JOBS.c.id.desc()).limit(limit)
    return connection.execute(found).mappings().all()


def progress(connection: Transaction, job_id: str) -> Progress:
    """Where the job's items are now; raises ``KeyError`` for an unknown job."""
    if (job := get(connection, job_id)) is None:
        raise KeyError(job_id)
    counted = connection.execute(
        select(
            _ITEMS.c.state,
            _ITEMS.c.reason,
            func.count().label("count"),
            func.sum(_ITEMS.c.spent).label("spent"),
            func.sum(_ITEMS.c.held).label("held"),
        )
        .where(_ITEMS.c.job_id == job_id)
        .group_by(_ITEMS.c.state, _ITEMS.c.reason)
    ).all()
    states: dict[str, int] = {}
    dead: dict[str, int] = {}
    for row in counted:
        states[row.state] = states.get(row.state, 0) + row[2]
        if row.state == State.DEAD:
            dead[row.reason] = row[2]
    submitted = sum(states.values())
    booked = int(connection.execute(_BOOKED, {"job": job_id}).scalar_one())
    complete = job.complete or job.cancelled_at is not None
    return Progress(
        states=states,
        dead=dead,
        spent=int(sum(row.spent for row in counted)) - booked,
        booked=booked,
        held=int(sum(row.held for row in counted)),
        total=max(job.total, submitted),
        submitted=submitted,
        complete=complete,
        stopped=not complete and _silent(connection, job, database_now(connection)),
        cancelled=job.cancelled_at is not None,
    )


def stopped(connection: Transaction, limit: int) -> list[tuple[dict[str, Any], int]]:
    """Jobs whose submission ended before their file did, the newest first, and how many of their
    rows are items.
    """
    open_ = select(_JOBS).where(_JOBS.c.complete.is_(False), _JOBS.c.cancelled_at.is_(None))
    newest_first = open_.order_by(_JOBS.c.submitted_at.desc(), _JOBS.c.id.desc()).limit(limit)
    now = database_now(connection)
    count = select(func.count()).select_from(_ITEMS)
    return [
        (dict(job), connection.execute(count.where(_ITEMS.c.job_id == job.id)).scalar_one())
        for job in connection.execute(newest_first).mappings().all()
        if _silent(connection, job, now)
    ]


def _silent(connection: Transaction, job: RowMapping, now: int) -> bool:
    """Whether no row of a job has been added for long."""
    last = (
        select(_ITEMS.c.submitted_at)
        .where(_ITEMS.c.job_id == job.id)
        .order_by(_ITEMS.c.job_index.desc())
        .limit(1)
    )
    added: int = connection.execute(last).scalar() or 0
    return max(int(job.submitted_at), added) < now - SILENT


def results(
    connection: Transaction, job_id: str, after_index: int, limit: int
) -> Sequence[RowMapping]:
    """Up to ``limit`` of the job's items with an index above ``after_index``, in file order.

    Begin with -1 and go on with the last ``job_index``; an item's ``output`` is null until it has
    succeeded.
    """
    found = (
        select(*(_ITEMS.c[name] for name in _SHOWN))
        .where(_ITEMS.c.job_id == job_id, _ITEMS.c.job_index > after_index)
        .order_by(_ITEMS.c.job_index)
        .limit(limit)
    )
    return connection.execute(found).mappings().all()


def cancel(connection: Transaction, job_id: str, by: str, batch: int = 500) -> Ends | None:
    """Cancel the job and up to ``batch`` of its items; call again until it returns ``None``.

    From the first call on no row is added to it. Running items end when their calls are aborted
    and are not among the endings. Raises ``KeyError`` for an unknown job.
    """
    found = select(_JOBS.c.cancelled_at).where(_JOBS.c.id == job_id).with_for_update()
    if (row := connection.execute(found).first()) is None:
        raise KeyError(job_id)
    if row.cancelled_at is None:
        at = database_now(connection)
        connection.execute(update(_JOBS).where(_JOBS.c.id == job_id).values(cancelled_at=at))
        audit_log.note(connection, by=by, what="cancel job", detail={"job": job_id})
    asked = (
        select(_ITEMS.c.id)
        .where(
            _ITEMS.c.job_id == job_id,
            _ITEMS.c.state.in_(_OPEN),
            _ITEMS.c.cancel_requested.is_(False),
        )
        .order_by(_ITEMS.c.id)
        .limit(batch)
    )
    ids = connection.execute(asked).scalars().all()
    return items.cancel(connection, ids, by) if ids else None
