"""Runs: the jobs that ask the same of the same file, one of which goes on where it stopped."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, func, select, update

from tierqueue.ledger import tables
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import Transaction

_JOBS, _ROWS = tables.jobs, tables.job_rows


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
    elif found["sample"] is not None:
        values["sample"] = {**found["sample"], "goes_on": True}
    if max_cost is not None and max_cost != found["max_cost"]:
        values["max_cost"] = max_cost
        jobs.limit(connection, found["id"], max_cost, now)
    connection.execute(update(_JOBS).where(_JOBS.c.id == found["id"]).values(**values))
    return str(found["id"]), True


def close(connection: Transaction, job_id: str) -> None:
    """End the submission of a job at the rows that it has: its file reads otherwise now."""
    rows = select(func.count()).where(_ROWS.c.job_id == job_id).scalar_subquery()
    connection.execute(
        update(_JOBS).where(_JOBS.c.id == job_id).values(complete=True, total=rows, sample=None)
    )


def _open(connection: Transaction, run: str) -> RowMapping | None:
    found = select(_JOBS).where(
        _JOBS.c.run == run, _JOBS.c.complete.is_(False), _JOBS.c.cancelled_at.is_(None)
    )
    return connection.execute(found).mappings().first()
