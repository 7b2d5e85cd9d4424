"""Sinks of jobs: whose rows go back into which table, and which of them are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, delete, false, func, or_, select, text, update

from tierqueue.ledger import audit_log, tables
from tierqueue.ledger.bulk import among, upsert
from tierqueue.ledger.job_records import SINK_ROW, SinkRow
from tierqueue.ledger.results import earlier_sinks
from tierqueue.ledger.results.earlier_sinks import STATED, SUPERSEDED
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import sink_rows, sinks
from tierqueue.router.lifecycle import ENDS

_ITEMS, _JOBS, _ROWS = tables.items, tables.jobs, tables.job_rows
_ENDED = _ITEMS.c.state.in_([state.value for state in ENDS])
# As the index says it: SQLite uses none for the `written = 0` that a comparison becomes.
_LEFT = text("NOT sink_rows.written")
_OWN = sinks.c.error.is_distinct_from(SUPERSEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """``place``: ``env:NAME``, never an address; ``written``: rows that are in the table.

    The others are what the table ``sinks`` says of them; ``look_at`` and ``failed_at`` in epoch µs.
    """

    job_id: str
    place: str
    table_name: str
    key: str
    prefix: str
    written: int
    after: int | None
    ended: int
    seen: int
    look_at: int | None
    tries: int
    error: str | None
    failed_at: int | None


def put(connection: Transaction, job_id: str, stated: Mapping[str, str], by: str) -> None:
    """Have the rows of a job go into a table from now on, instead of another one.

    ``stated``: place, table_name, key and prefix. The same again changes nothing but that a sink
    which was given up is tried again. Earlier jobs of the run write there no more: what they asked
    may be older.
    """
    there = get(connection, job_id)
    same = there is not None and all(getattr(there, name) == stated[name] for name in STATED)
    at = database_now(connection)
    values: dict[str, Any] = {"look_at": at, "tries": 0, "error": None, "failed_at": None}
    if not same:
        values |= {**stated, "written": 0, "after": None, "ended": 0, "seen": -1}
        for table in (sink_rows, sinks) if there is None else (sink_rows,):
            connection.execute(delete(table).where(table.c.job_id == job_id))
        detail = {"job": job_id, "place": stated["place"], "table": stated["table_name"]}
        audit_log.note(connection, by=by, what="set sink", detail=detail)
        earlier_sinks.end(connection, job_id, stated)
    if there is None:
        connection.execute(upsert(connection, sinks).values(job_id=job_id, **values))
    else:
        note(connection, job_id, **values)


def get(connection: Transaction, job_id: str) -> Sink | None:
    """The sink of a job, or ``None``, also where a later job of its run writes the table."""
    found = select(sinks).where(sinks.c.job_id == job_id, _OWN)
    row = connection.execute(found).mappings().first()
    return None if row is None else Sink(**row)


def add(
    connection: Transaction, job_id: str, rows: Mapping[int, tuple[Any, Sequence[int]]]
) -> None:
    """These rows of a job (number -> key, where its pages begin) go back too, as far as they are
    there.

    A row without a key has no place in a table, and one that is known stays as it is.
    """
    wanted = [number for number, (key, _) in rows.items() if key is not None]
    found = select(_ROWS.c.number, _ROWS.c.item_id).where(
        _ROWS.c.job_id == job_id, _ROWS.c.number.in_(wanted)
    )
    new = {"job_id": job_id, "turn": 0, "written": False}
    made = []
    for row in connection.execute(found):
        key, pages = rows[row.number]
        said = {"key": key, "pages": list(pages) if len(pages) > 1 else None}
        made.append({**new, **said, "number": row.number, "item_id": row.item_id})
    if made:
        connection.execute(upsert(connection, sink_rows).on_conflict_do_nothing(), made)


def take(connection: Transaction, now: int, until: int) -> Sink | None:
    """A sink that is to be looked at ``now``, left to the caller ``until`` then (epoch µs)."""
    found = (
        select(sinks)
        .where(sinks.c.look_at.is_not(None), sinks.c.look_at <= now, _OWN)
        .order_by(sinks.c.look_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(found).mappings().first()
    if row is None:
        return None
    note(connection, row["job_id"], look_at=until)
    return Sink(**row)


def note(connection: Transaction, job_id: str, **values: Any) -> None:
    """Write down how a sink gets on, and when it is looked at again."""
    connection.execute(update(sinks).where(sinks.c.job_id == job_id).values(**values))


def holds(connection: Transaction, job_id: str, until: int) -> bool:
    """Whether a sink is still left to the caller ``until`` then; nobody takes it meanwhile."""
    held = select(sinks.c.look_at).where(sinks.c.job_id == job_id).with_for_update()
    return connection.execute(held).scalar() == until


def left(
    connection: Transaction, job_id: str, after: int, limit: int, *, refused: bool
) -> list[SinkRow]:
    """Up to ``limit`` rows above number ``after`` that are not written, with how their items stand.

    With ``refused`` those too that the table has refused.
    """
    found = (
        select(*SINK_ROW)
        .select_from(sink_rows)
        .join(_ITEMS, _ITEMS.c.id == sink_rows.c.item_id)
        .join(
            _ROWS,
            and_(_ROWS.c.job_id == sink_rows.c.job_id, _ROWS.c.number == sink_rows.c.number),
        )
        .where(
            sink_rows.c.job_id == job_id,
            sink_rows.c.number > after,
            _LEFT,
        )
    )
    if not refused:
        found = found.where(sink_rows.c.refused.is_(None))
    page = found.order_by(sink_rows.c.number).limit(limit)
    return [SinkRow.from_row(row) for row in connection.execute(page)]


def text_of(connection: Transaction, item_id: str) -> str:
    """The text that an item was asked about; empty where it has none any more."""
    found = select(_ITEMS.c.arguments).where(_ITEMS.c.id == item_id)
    return str((connection.execute(found).scalar() or {}).get("text") or "")


def mark(
    connection: Transaction, job_id: str, until: int, rows: Mapping[int, int], why: str | None
) -> bool:
    """These rows (number -> turn) are written, or refused alone, ``why`` names the kind of error.

    Only those whose items have not gone on since. False where another stage has the sink by now,
    which was to be left to the caller ``until`` then: it may have written them before what was
    written now, and they are written once more.
    """
    own = holds(connection, job_id, until)
    by_turn: dict[int, list[int]] = {}
    for number, turn in rows.items():
        by_turn.setdefault(turn, []).append(number)
    values: dict[Any, Any] = {"refused": why, "written": why is None}
    if not own:
        values = {"written": False, "turn": sink_rows.c.turn + 1}
    for turn, numbers in by_turn.items():
        these = update(sink_rows).where(
            sink_rows.c.job_id == job_id, sink_rows.c.number.in_(numbers)
        )
        if own:
            these = these.where(sink_rows.c.turn == turn, sink_rows.c.written == false())
        changed = connection.execute(these.values(values)).rowcount
        if own and why is None:
            note(connection, job_id, written=sinks.c.written + changed)
    return own


def refusal(connection: Transaction, job_id: str) -> tuple[int, str | None]:
    """How many rows the table has refused, and what with, of one."""
    found = select(func.count(), func.min(sink_rows.c.refused)).where(
        sink_rows.c.job_id == job_id, sink_rows.c.refused.is_not(None)
    )
    rows, why = connection.execute(found).one()
    return rows, why


def reopen(connection: Transaction, item_ids: Sequence[str]) -> None:
    """These items have gone on after their end: their rows are to be written again."""
    ids = {"ids": list(item_ids)}
    of = among(sink_rows.c.item_id)
    count = func.sum(case((sink_rows.c.written, 1), else_=0))
    found = (
        select(sink_rows.c.job_id, count.label("rows"))
        .join(sinks, sinks.c.job_id == sink_rows.c.job_id)
        .where(of, _OWN)
        .group_by(sink_rows.c.job_id)
    )
    rows = connection.execute(found, ids).all()
    anew = {"turn": sink_rows.c.turn + 1, "written": False, "refused": None}
    connection.execute(update(sink_rows).where(of).values(anew), ids)
    at = database_now(connection)
    for row in rows:
        written = sinks.c.written - row.rows
        look = func.coalesce(sinks.c.look_at, at)
        note(connection, row.job_id, written=written, after=None, seen=-1, tries=0, look_at=look)


def forget(connection: Transaction, item_ids: Sequence[str]) -> None:
    """These items have no payload any more: their keys go, written or not."""
    gone = delete(sink_rows).where(among(sink_rows.c.item_id))
    connection.execute(gone, {"ids": list(item_ids)})


def failing(connection: Transaction, since: int, limit: int) -> Sequence[Sink]:
    """Sinks that fail, those that were given up only if after ``since`` (epoch µs).

    Not those of cancelled jobs: nobody waits for these.
    """
    lately = or_(sinks.c.look_at.is_not(None), sinks.c.failed_at >= since)
    found = (
        select(sinks)
        .join(_JOBS, _JOBS.c.id == sinks.c.job_id)
        .where(sinks.c.error.is_not(None), lately, _JOBS.c.cancelled_at.is_(None))
    )
    rows = connection.execute(found.order_by(sinks.c.job_id.desc()).limit(limit)).mappings()
    return [Sink(**row) for row in rows]
