"""Jobs: many items from one file, watched, paid for and cancelled together."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, func, insert, literal, select, tuple_, update

from tierqueue.ledger import actions, ceilings, items
from tierqueue.ledger import models as tables
from tierqueue.ledger.items import new_id
from tierqueue.ledger.promises import Ending
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import Cancelled
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy import CeilingRule

_ITEMS, _JOBS = tables.items, tables.jobs
_OPEN = [state.value for state in State if state not in ENDS]

_SHOWN = (
    *("id", "job_index", "state", "reason"),
    *("output", "receipt", "error", "metadata", "spent"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a job's items are; money in nano-dollars.

    ``states``: items by state; ``dead``: dead letters by reason; ``total``: rows of the file, or
    those read so far while ``complete`` is false.
    """

    states: dict[str, int]
    dead: dict[str, int]
    spent: int
    held: int
    total: int
    complete: bool
    cancelled: bool

    @property
    def ended(self) -> int:
        """How many items reached an end."""
        return sum(self.states.get(end.value, 0) for end in ENDS)

    @property
    def over(self) -> bool:
        """Whether nothing of the job is left to do."""
        return self.complete and self.ended == sum(self.states.values())


def create(
    connection: Transaction, *, task: str, source: str, max_cost: int | None, now: int
) -> str:
    """Open a job; its ``max_cost`` (nano-dollars) is a ceiling over all its items."""
    job_id = new_id()
    connection.execute(
        insert(_JOBS).values(
            id=job_id,
            task=task,
            source=source,
            max_cost=max_cost,
            submitted_at=now,
            complete=False,
            total=0,
        )
    )
    if max_cost is not None:
        rule = CeilingRule.model_construct(
            scope="job", name=job_id, window="total", timezone="UTC", limit=NanoUSD(max_cost)
        )
        ceilings.put(connection, rule, by="job", now=now)
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
    return Progress(
        states=states,
        dead=dead,
        spent=int(sum(row.spent for row in counted)),
        held=int(sum(row.held for row in counted)),
        total=job.total if job.complete else sum(states.values()),
        complete=job.complete or job.cancelled_at is not None,
        cancelled=job.cancelled_at is not None,
    )


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


def cancel(connection: Transaction, job_id: str, by: str, batch: int = 500) -> list[Ending] | None:
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
        actions.note(connection, by=by, what="cancel job", detail={"job": job_id})
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
