"""Moves of jobs' rows, as SQLite's triggers log them, and what they add to the jobs' sums.

A trigger that adds to the sums itself takes longer than the row it counts, for every row; a log is
short to write, and added up once many moves are in it. Whoever reads the sums reads both.
"""

import sqlite3
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    case,
    cast,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import CompoundSelect

from tierqueue.ledger.tables import job_counts, job_moves

MOST = 256
"""Moves from which on the log is added up: so many a reader of the sums adds in a moment."""

KEYS = ("job_id", "part", "at", "state", "reason", "tier", "went_on")
SUMS = ("rows", "spent", "held", "squares", "size", "size_squares", "size_spent")

_SENT = ("routed", "queued", "running")
_PLACE = ("part", "state", "reason", "tier", "went_on")


def _side(when: str) -> list[ColumnElement[Any]]:
    """The sums over moves that are alike, of the items before (``old_``) or after them."""
    spent, size = (
        cast(func.coalesce(job_moves.c[f"{when}{name}"], 0), Double) for name in ("spent", "size")
    )
    squares = {"squares": spent * spent, "size_squares": size * size, "size_spent": size * spent}
    plain = {name: job_moves.c[f"{when}{name}"] for name in ("spent", "held", "size")}
    return [func.sum(value).label(f"{when}{name}") for name, value in {**plain, **squares}.items()]


def summed(of_job: ColumnElement[Any] | None = None) -> CompoundSelect[Any]:
    """What the moves that are logged, of one job or of all, add under which keys."""
    log = job_moves.c
    alike = [log.job_id, log.ended]
    alike += [log[f"{when}{name}"] for when in ("old_", "") for name in _PLACE]
    grouped = select(*alike, func.count().label("rows"), *_side("old_"), *_side(""))
    if of_job is not None:
        grouped = grouped.where(log.job_id == of_job)
    moves = grouped.group_by(*alike).cte("moves").c
    ends: list[ColumnElement[Any]] = [
        literal("ends").label("part"),
        moves.ended.label("at"),
        literal("").label("state"),
        literal("").label("reason"),
        func.coalesce(moves.tier, "").label("tier"),
        moves.went_on.label("went_on"),
        moves.rows.label("rows"),
        *(literal(0).label(name) for name in SUMS[1:]),
    ]
    return union_all(
        _entry(moves, "old_", -1),
        _entry(moves, "", 1),
        select(moves.job_id, *ends).where(moves.ended.is_not(None)),
    )


def _entry(moves: Any, when: str, sign: int) -> Select[Any]:
    state, reason = moves[f"{when}state"], moves[f"{when}reason"]
    held = case((state == "handed_over", moves[f"{when}held"]), else_=0)
    sums = {"rows": moves.rows, "held": held}
    return select(
        moves.job_id,
        moves[f"{when}part"].label("part"),
        literal(0).label("at"),
        case((state.in_(_SENT), "routed"), else_=state).label("state"),
        case((state == "dead", func.coalesce(reason, "")), else_="").label("reason"),
        func.coalesce(moves[f"{when}tier"], "").label("tier"),
        moves[f"{when}went_on"].label("went_on"),
        *((sign * sums.get(name, moves.get(f"{when}{name}"))).label(name) for name in SUMS),
    ).where(state.is_not(None))


def _adding() -> sqlite.Insert:
    more = summed().subquery("more")
    keys = [more.c[name] for name in KEYS]
    added = sqlite.insert(job_counts).from_select(
        [*KEYS, *SUMS],
        select(*keys, *(func.sum(more.c[name]) for name in SUMS)).group_by(*keys),
    )
    sums = {name: job_counts.c[name] + added.excluded[name] for name in SUMS}
    return added.on_conflict_do_update(index_elements=KEYS, set_=sums)


_ADDING = _adding()
_LATER = "SELECT (SELECT max(id) FROM job_moves) - (SELECT min(id) FROM job_moves)"
"""Moves after the first: they are logged one by one, and removed all at once."""


def add(connection: Connection, least: int = MOST) -> None:
    """Add what is logged to the sums, and empty the log, where it has ``least`` moves or more."""
    driver = connection.connection.driver_connection
    assert driver is not None
    try:
        # Each transaction asks, and asked by SQLAlchemy it would take ten times as long.
        later = driver.execute(_LATER).fetchone()[0]
    except sqlite3.Error as error:
        raise DBAPIError.instance(_LATER, None, error, sqlite3.Error) from error
    if later is not None and later + 1 >= least:
        connection.execute(_ADDING)
        connection.exec_driver_sql("DELETE FROM job_moves")
