"""Schedules: calls that are made again and again, each time they are due by one routing stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import delete, select, update

from tierqueue.ledger import audit_log
from tierqueue.ledger.bulk import upsert
from tierqueue.ledger.lifecycle import items
from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items as item_table
from tierqueue.ledger.tables import schedule_runs, schedules

SKIP, ONCE = "skip", "once"
"""What becomes of a time that nobody was there for."""

RUNS = 1_000
"""Runs of a schedule that are kept, the newest."""


class Schedule(NamedTuple):
    """What is to be called again and again."""

    name: str
    """Given by whoever added it."""
    task: str
    """The name of its items' task type."""
    call: Mapping[str, Any]
    """The arguments and demands of its items."""
    cron: str | None
    """When, as cron writes it; ``None``: ``every`` says."""
    every: int | None
    """Microseconds."""
    timezone: str
    """Whose clock ``cron`` goes by."""
    missed: str
    """``ONCE`` or ``SKIP``."""
    next_due: int
    """Epoch microseconds."""
    added_at: int
    """Epoch microseconds."""
    added_by: str
    """Who added it."""
    paused_at: int | None = None
    """Epoch microseconds; ``None``: it does not rest."""
    source: Mapping[str, Any] | None = None
    """What a run submits as a job; ``None``: a run is one item."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The schedule of a row of ``_SCHEDULE``."""
        return cls._make(row)


_SCHEDULE = tuple(schedules.c[name] for name in Schedule._fields)


class Run(NamedTuple):
    """A time at which a schedule was due, and what became of it."""

    due: int
    """Epoch microseconds."""
    at: int
    """When it was run, in epoch microseconds."""
    by: str | None
    """Who ran it by hand."""
    item_id: str | None
    """The item that it made."""
    job_id: str | None
    """The job that it submitted."""
    lease_until: int | None
    """Until its job is submitted, by whoever has the lease: epoch microseconds."""
    error: str | None
    """Why there is no item, or why its job was not submitted."""
    state: str | None
    """Where its item is."""
    reason: str | None
    """Why that waits or ended."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The run of a row of ``_RUN``."""
        return cls._make(row)


_RUN = (
    *(schedule_runs.c[name] for name in Run._fields[:-2]),
    item_table.c.state,
    item_table.c.reason,
)


def add(connection: Transaction, schedule: Schedule) -> bool:
    """Write a schedule down; false where there is one of its name."""
    made = upsert(connection, schedules).values(**schedule._asdict()).on_conflict_do_nothing()
    new = connection.execute(made).rowcount > 0
    if new:
        detail = {"name": schedule.name, "task": schedule.task}
        audit_log.note(connection, by=schedule.added_by, what="add schedule", detail=detail)
    return new


def remove(connection: Transaction, name: str, by: str) -> bool:
    """Take a schedule away, and what is known of its runs; their items stay."""
    gone = connection.execute(delete(schedules).where(schedules.c.name == name)).rowcount > 0
    if gone:
        connection.execute(delete(schedule_runs).where(schedule_runs.c.schedule == name))
        audit_log.note(connection, by=by, what="remove schedule", detail={"name": name})
    return gone


def pause(connection: Transaction, name: str, by: str) -> bool:
    """Let a schedule rest; returns whether it did not rest before."""
    at = database_now(connection)
    rest = update(schedules).where(schedules.c.name == name, schedules.c.paused_at.is_(None))
    new = connection.execute(rest.values(paused_at=at)).rowcount > 0
    if new:
        audit_log.note(connection, by=by, what="pause schedule", detail={"name": name})
    return new


def resume(connection: Transaction, name: str, next_due: int, by: str) -> bool:
    """Let a schedule go on, next at ``next_due`` (epoch µs); returns whether it rested."""
    rested = update(schedules).where(schedules.c.name == name, schedules.c.paused_at.is_not(None))
    found = connection.execute(rested.values(paused_at=None, next_due=next_due)).rowcount > 0
    if found:
        audit_log.note(connection, by=by, what="resume schedule", detail={"name": name})
    return found


def listed(connection: Transaction) -> list[Schedule]:
    """Every schedule, by name."""
    rows = connection.execute(select(*_SCHEDULE).order_by(schedules.c.name))
    return [Schedule.from_row(row) for row in rows]


def get(connection: Transaction, name: str) -> Schedule | None:
    """One schedule, or ``None``."""
    row = connection.execute(select(*_SCHEDULE).where(schedules.c.name == name)).first()
    return None if row is None else Schedule.from_row(row)


def due(connection: Transaction, now: int, most: int) -> list[str]:
    """The names of schedules that are due at ``now`` (epoch µs), the longest first."""
    waiting = (schedules.c.paused_at.is_(None), schedules.c.next_due <= now)
    found = select(schedules.c.name).where(*waiting).order_by(schedules.c.next_due).limit(most)
    return list(connection.execute(found).scalars())


def take(connection: Transaction, name: str, now: int) -> Schedule | None:
    """A schedule that is due at ``now`` (epoch µs), locked; ``None`` where another has run it."""
    found = (
        select(*_SCHEDULE)
        .where(
            schedules.c.name == name, schedules.c.paused_at.is_(None), schedules.c.next_due <= now
        )
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(found).first()
    return None if row is None else Schedule.from_row(row)


def advance(connection: Transaction, name: str, next_due: int) -> None:
    """Say when a schedule that was taken is due again (epoch µs)."""
    later = update(schedules).where(schedules.c.name == name).values(next_due=next_due)
    connection.execute(later)


def run(
    connection: Transaction,
    name: str,
    due: int,
    made: NewItem | None,
    *,
    error: str | None = None,
    by: str | None = None,
    job: bool = False,
) -> bool:
    """Write down a run for ``due`` (epoch µs) and commit its item; false where there is one.

    ``error``: why there is no item; ``job``: it is a job that somebody is to submit.
    """
    values = {"schedule": name, "due": due, "at": database_now(connection), "by": by}
    item: dict[str, Any] = {"item_id": None if made is None else made.id, "error": error}
    item["lease_until"] = 0 if job else None
    ran = upsert(connection, schedule_runs).values(**values, **item).on_conflict_do_nothing()
    if not connection.execute(ran).rowcount:
        return False
    if made is not None:
        items.submit(connection, made, None)
    if by is not None:
        audit_log.note(connection, by=by, what="run schedule", detail={"name": name})
    _forget(connection, name)
    return True


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run whose job is to be submitted; ``job_id`` where somebody had begun."""

    schedule: Schedule
    due: int
    job_id: str | None


def take_job(connection: Transaction, now: int, lease_us: int) -> DueRun | None:
    """A run whose job nobody submits at ``now``, leased for so many microseconds."""
    runs = schedule_runs.c
    waiting = (runs.lease_until.is_not(None), runs.lease_until < now)
    found = select(runs.schedule, runs.due, runs.job_id).where(*waiting).order_by(runs.due)
    row = connection.execute(found.limit(1).with_for_update(skip_locked=True)).first()
    if row is None:
        return None
    name, due, job_id = row
    if (schedule := get(connection, name)) is None:
        return None
    note_run(connection, name, due, lease_until=now + lease_us)
    return DueRun(schedule, due, job_id)


def note_run(connection: Transaction, name: str, due: int, **values: Any) -> None:
    """Write down of a run ``job_id``, ``error`` or ``lease_until`` (``None``: it is submitted)."""
    of = (schedule_runs.c.schedule == name, schedule_runs.c.due == due)
    connection.execute(update(schedule_runs).where(*of).values(**values))


def with_last_run(connection: Transaction) -> list[tuple[Schedule, Run | None]]:
    """Every schedule by name, and its last run."""
    return [
        (schedule, next(iter(runs(connection, schedule.name, 1)), None))
        for schedule in listed(connection)
    ]


def runs(connection: Transaction, name: str, most: int) -> list[Run]:
    """The last runs of a schedule, the newest first, with the state of their items."""
    found = (
        select(*_RUN)
        .outerjoin(item_table, item_table.c.id == schedule_runs.c.item_id)
        .where(schedule_runs.c.schedule == name)
        .order_by(schedule_runs.c.due.desc())
        .limit(most)
    )
    return [Run.from_row(row) for row in connection.execute(found)]


def _forget(connection: Transaction, name: str) -> None:
    of = schedule_runs.c.schedule == name
    oldest = select(schedule_runs.c.due).where(of).order_by(schedule_runs.c.due.desc())
    kept = connection.execute(oldest.offset(RUNS).limit(1)).scalar()
    if kept is not None:
        connection.execute(delete(schedule_runs).where(of, schedule_runs.c.due <= kept))
