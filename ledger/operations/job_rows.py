"""The rows of a job's file, each with its item, and the jobs of a run, which share their items.

Jobs of one run ask the same of the same file; one of them goes on where it stopped.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select, update

from tierqueue.ledger import tables
from tierqueue.ledger.bulk import PreparedRows, among, prepare_insert
from tierqueue.ledger.job_records import JOB, ROW_ANSWER, JobRecord, RowAnswer
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.results import simulated
from tierqueue.ledger.session import Transaction
from tierqueue.router.lifecycle import State

_ITEMS, _JOBS, _ROWS = tables.items, tables.jobs, tables.job_rows


class JobRow(NamedTuple):
    """One row of a job's file, by its ``number`` from 0, and the item that answers it.

    ``content``: a hash of what was read; ``fingerprint``: of what was asked, ``None`` where the
    item is another row's.
    """

    job_id: str
    number: int
    item_id: str
    content: str
    fingerprint: str | None


def prepare(dialect: str, rows: Sequence[JobRow]) -> PreparedRows:
    """Make rows ready for ``PreparedRows.write``, in the transaction that writes their items."""
    return prepare_insert(dialect, _ROWS, [row._asdict() for row in rows])


def between(
    connection: Transaction, job_id: str, first: int, last: int
) -> dict[int, tuple[str, str | None]]:
    """The rows from number ``first`` to ``last`` that are there: number -> content, fingerprint."""
    found = select(_ROWS.c.number, _ROWS.c.content, _ROWS.c.fingerprint).where(
        _ROWS.c.job_id == job_id, _ROWS.c.number.between(first, last)
    )
    return {row.number: (row.content, row.fingerprint) for row in connection.execute(found)}


def answering(
    connection: Transaction,
    run: str,
    fingerprints: Sequence[str],
    *,
    job_id: str,
    failed_too: bool,
    prompt: str | None = None,
) -> dict[str, str]:
    """Items of the run that were asked the same: fingerprint -> item, one that has succeeded first.

    Not among them: what was cancelled, what has no payload any more, and what was asked under
    another ``prompt`` than these rows are, such as an item that the policy drew for one; of jobs
    other than ``job_id`` what has failed, unless ``failed_too``.
    """
    found = (
        select(_ROWS.c.fingerprint, _ROWS.c.job_id, _ROWS.c.item_id, _ITEMS.c.state)
        .join(_ITEMS, _ITEMS.c.id == _ROWS.c.item_id)
        .join(_JOBS, _JOBS.c.id == _ROWS.c.job_id)
        .where(
            among(_ROWS.c.fingerprint),
            _JOBS.c.run == run,
            _ITEMS.c.erased_at.is_(None),
            _ITEMS.c.state != State.CANCELLED.value,
            _ITEMS.c.prompt.is_not_distinct_from(prompt),
        )
        .order_by(_ROWS.c.item_id)
    )
    asked: dict[str, tuple[bool, str]] = {}
    for row in connection.execute(found, {"ids": sorted(set(fingerprints))}):
        if row.state == State.DEAD and not failed_too and row.job_id != job_id:
            continue
        succeeded = row.state == State.SUCCEEDED
        if not asked.get(row.fingerprint, (False, ""))[0]:
            asked[row.fingerprint] = succeeded, row.item_id
    return {fingerprint: item_id for fingerprint, (_, item_id) in asked.items()}


def fingerprints(connection: Transaction, run: str) -> Iterator[str]:
    """The fingerprints of all items that ``answering`` finds for a new job of the run, with what
    has failed and without what was asked under a prompt of its own.
    """
    found = (
        select(_ROWS.c.fingerprint)
        .join(_ITEMS, _ITEMS.c.id == _ROWS.c.item_id)
        .join(_JOBS, _JOBS.c.id == _ROWS.c.job_id)
        .where(
            _JOBS.c.run == run,
            _ROWS.c.fingerprint.is_not(None),
            _ITEMS.c.erased_at.is_(None),
            _ITEMS.c.state != State.CANCELLED.value,
            _ITEMS.c.prompt.is_(None),
        )
    )
    yield from connection.execute(found).scalars()


def answers(connection: Transaction, job_id: str, after: int, limit: int) -> list[RowAnswer]:
    """Up to ``limit`` rows above number ``after``, in file order, each with how its item stands."""
    found = (
        select(*ROW_ANSWER)
        .join(_ITEMS, _ITEMS.c.id == _ROWS.c.item_id)
        .where(_ROWS.c.job_id == job_id, _ROWS.c.number > after)
        .order_by(_ROWS.c.number)
        .limit(limit)
    )
    rows = connection.execute(found).all()
    made_up = simulated.of_items(connection, [row.id for row in rows])
    return [RowAnswer.from_row(row, simulated=row.id in made_up) for row in rows]


def outputs(
    connection: Transaction, job_id: str, after: int, limit: int
) -> Sequence[tuple[int, Any]]:
    """As ``answers``, of each row its number and its item's output alone."""
    found = (
        select(_ROWS.c.number, _ITEMS.c.output)
        .join(_ITEMS, _ITEMS.c.id == _ROWS.c.item_id)
        .where(_ROWS.c.job_id == job_id, _ROWS.c.number > after)
        .order_by(_ROWS.c.number)
        .limit(limit)
    )
    return [(number, output) for number, output in connection.execute(found)]


def dead(connection: Transaction, job_id: str, after: int, limit: int) -> list[RowAnswer]:
    """Up to ``limit`` rows above number ``after`` whose item is dead, in file order."""
    found = (
        select(*ROW_ANSWER)
        .join(_ITEMS, _ITEMS.c.id == _ROWS.c.item_id)
        .where(
            _ROWS.c.job_id == job_id,
            _ROWS.c.number > after,
            _ITEMS.c.state == State.DEAD.value,
        )
        .order_by(_ROWS.c.number)
        .limit(limit)
    )
    return [RowAnswer.from_row(row) for row in connection.execute(found)]


def begin(
    connection: Transaction,
    *,
    run: str,
    total: int,
    max_cost: int | None,
    now: int,
    sample: Mapping[str, Any] | None = None,
    **job: Any,
) -> tuple[str, bool]:
    """The job of ``run`` whose submission has not come to its end, or a new one (``jobs.create``
    says of what); and whether it was there.

    Of one that was there ``total`` and a stated ``max_cost`` are in force from now on; one of which
    there is a sample goes on, unless it is ``sample`` again.
    """
    while (found := _open(connection, run)) is None:
        made = jobs.insert(
            connection, run=run, total=total, max_cost=max_cost, now=now, sample=sample, **job
        )
        if made is not None:
            return made, False
    values: dict[str, Any] = {"total": total}
    if sample is not None:
        values["sample"] = dict(sample)
    elif found.sample is not None:
        values["sample"] = {**found.sample, "goes_on": True}
    if max_cost is not None and max_cost != found.max_cost:
        values["max_cost"] = max_cost
        jobs.limit(connection, found.id, max_cost, now)
    connection.execute(update(_JOBS).where(_JOBS.c.id == found.id).values(**values))
    return found.id, True


def close(connection: Transaction, job_id: str) -> None:
    """End the submission of a job at the rows that it has: its file reads otherwise now."""
    rows = select(func.count()).where(_ROWS.c.job_id == job_id).scalar_subquery()
    connection.execute(
        update(_JOBS).where(_JOBS.c.id == job_id).values(complete=True, total=rows, sample=None)
    )


def _open(connection: Transaction, run: str) -> JobRecord | None:
    found = select(*JOB).where(
        _JOBS.c.run == run, _JOBS.c.complete.is_(False), _JOBS.c.cancelled_at.is_(None)
    )
    row = connection.execute(found).first()
    return None if row is None else JobRecord.from_row(row)
