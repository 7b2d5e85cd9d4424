"""Sinks of a run's earlier jobs: they write no more, and say what stands in the table."""

from collections.abc import Mapping, Sequence

from sqlalchemy import and_, delete, exists, func, select, update

from tierqueue.ledger import tables
from tierqueue.ledger.bulk import among
from tierqueue.ledger.job_records import SinkRow
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import sink_rows, sinks

_JOBS, _ROWS = tables.jobs, tables.job_rows
STATED = ("place", "table_name", "key", "prefix")
"""Columns of a sink that say where its rows go."""

SUPERSEDED = "superseded"
"""The ``error`` of a sink of which a later job of the run writes the table."""


def end(connection: Transaction, job_id: str, stated: Mapping[str, str]) -> None:
    """Sinks of earlier jobs of the run write there no more: what they asked may be older."""
    run = select(_JOBS.c.run).where(_JOBS.c.id == job_id).scalar_subquery()
    found = (
        select(sinks.c.job_id, sinks.c.error)
        .join(_JOBS, _JOBS.c.id == sinks.c.job_id)
        .where(_JOBS.c.run == run, _JOBS.c.id != job_id)
        .where(*(sinks.c[name] == stated[name] for name in STATED))
    )
    earlier = connection.execute(found).all()
    # Of those before the last it is asked only who paid for a row.
    shared = exists().where(
        _ROWS.c.job_id == sink_rows.c.job_id,
        _ROWS.c.number == sink_rows.c.number,
        _ROWS.c.fingerprint.is_(None),
    )
    old = {"ids": [row.job_id for row in earlier if row.error == SUPERSEDED]}
    connection.execute(delete(sink_rows).where(among(sink_rows.c.job_id), shared), old)
    ended = {"look_at": None, "tries": 0, "error": SUPERSEDED, "failed_at": None}
    ids = {"ids": [row.job_id for row in earlier]}
    connection.execute(update(sinks).where(among(sinks.c.job_id)).values(ended), ids)


def before(
    connection: Transaction,
    job_id: str,
    stated: Mapping[str, str],
    rows: Sequence[SinkRow],
) -> dict[int, tuple[bool, bool]]:
    """Of rows of a sink that an earlier job of the run was to write there too, by number: whether
    their item was made for them, and whether the job before this one has written them.
    """
    run = select(_JOBS.c.run).where(_JOBS.c.id == job_id).scalar_subquery()
    earlier = (
        select(sinks.c.job_id)
        .join(_JOBS, _JOBS.c.id == sinks.c.job_id)
        .where(_JOBS.c.run == run, sinks.c.error == SUPERSEDED)
        .where(*(sinks.c[name] == stated[name] for name in STATED))
    )
    last = connection.execute(select(func.max(earlier.subquery().c.job_id))).scalar()
    if last is None:
        return {}
    of_item = {(row.answer.id, repr(row.key)): row.answer.number for row in rows}
    found = (
        select(*(sink_rows.c[name] for name in ("job_id", "item_id", "key", "written")))
        .add_columns(_ROWS.c.fingerprint)
        .join(
            _ROWS,
            and_(_ROWS.c.job_id == sink_rows.c.job_id, _ROWS.c.number == sink_rows.c.number),
        )
        .where(among(sink_rows.c.item_id), sink_rows.c.job_id.in_(earlier))
    )
    told: dict[int, tuple[bool, bool]] = {}
    for row in connection.execute(found, {"ids": sorted({item for item, _ in of_item})}):
        number = of_item.get((row.item_id, repr(row.key)))
        if number is not None:
            own, written = told.get(number, (False, False))
            told[number] = (
                own or row.fingerprint is not None,
                written or (row.job_id == last and row.written),
            )
    return told
