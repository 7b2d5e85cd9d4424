"""The counts of a job's rows, as sums that the database keeps: as cheap to read at any size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from sqlalchemy import (
    Select,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects import postgresql

from tierqueue.ledger.literals import equals, is_in
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.sqlite import job_moves
from tierqueue.ledger.sqlite.job_moves import KEYS as _KEYS
from tierqueue.ledger.sqlite.job_moves import SUMS as _SUMS
from tierqueue.ledger.tables import attempts, items, job_counts, job_deltas, job_rows
from tierqueue.router.item import BelowTier
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.router.policy.duration import SECOND_US

_OVER = frozenset(state.value for state in ENDS)

_FOLDING = 7_163_902_141
"""An arbitrary number that names "somebody folds the counts" among PostgreSQL's locks."""

_FOLDED = 100_000
"""Most entries of the log that one transaction folds."""

_KEPT_US = 300 * SECOND_US
"""Microseconds for which it is known how many items ended in which second."""

_FIRST = 500
"""Most of the items that ended first which are asked when their call began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierCount:
    """The items of a job in one tier (``None``: not routed yet) that went on to it from another
    (``went_on``), or were asked there first.

    ``ended`` of them; ``left`` have not. ``spent`` and ``squares`` are sums over the ended, in
    nano-dollars and their squares; so are ``size`` (bytes of their prompts), ``size_squares`` and
    ``size_spent`` (bytes times nano-dollars). ``size_left``: bytes of those that have not.
    ``ends``: how many ended in which second since the epoch, from the moment asked for on.
    """

    tier: str | None
    went_on: bool
    ended: int = 0
    left: int = 0
    spent: float = 0.0
    squares: float = 0.0
    size: float = 0.0
    size_squares: float = 0.0
    size_spent: float = 0.0
    size_left: float = 0.0
    ends: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class JobCounts:
    """Rows of a job by the ``states`` of their items, dead letters by reason; money as ``Progress``
    has it. ``reused``: rows that have another row's item, or its answer. ``under_way``: what of
    ``spent`` are pieces of documents that have not ended, ``documents`` of them.
    """

    states: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    spent: int = 0
    booked: int = 0
    held: int = 0
    reused: int = 0
    under_way: int = 0
    documents: int = 0
    paces: list[TierCount] = field(default_factory=list)

    @property
    def submitted(self) -> int:
        """How many rows have an item."""
        return sum(self.states.values())


class _Group(NamedTuple):
    """Rows of a job that are alike, as ``job_counts`` has them."""

    part: str
    """``own``, ``document``, ``piece``, ``shared``, ``booked``, ``ends``, or ``live``: a state in
    which few are at a time."""
    at: int
    """Of ``ends``: the second since the epoch."""
    state: str
    """Where their items are."""
    reason: str
    """Why they are dead; else empty."""
    tier: str
    """Where they were routed to last; empty before."""
    went_on: bool
    """Whether they came there from another."""
    rows: int
    """How many."""
    spent: int
    """Nano-dollars."""
    held: int
    """Nano-dollars."""
    squares: float
    """The sum of their costs' squares."""
    size: float
    """Bytes of their prompts."""
    size_squares: float
    """The sum of these sizes' squares."""
    size_spent: float
    """The sum of bytes times nano-dollars."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Self:
        """The group of a row of ``_GROUPS``; PostgreSQL adds integers up to decimals."""
        part, at, state, reason, tier, went_on, *sums = row
        rows, spent, held = map(int, sums[:3])
        return cls(
            *(part, at, state, reason, tier, bool(went_on), rows, spent, held),
            *map(float, sums[3:]),
        )


def _live(state: State, *, shared: bool) -> Select[Any]:
    """The job's items, or its rows with shared ones, in a state in which few are at a time.

    Never found by the job's index, which has all of it.
    """
    held = literal(0) if shared else func.coalesce(func.sum(items.c.held), 0)
    whole = literal(1) if shared else case((items.c.part_of.is_(None), 1), else_=0)
    sums = {"rows": func.coalesce(func.sum(whole), 0), "held": held}
    found = select(
        literal("live").label("part"),
        literal(0).label("at"),
        literal(state.value).label("state"),
        literal("").label("reason"),
        literal("").label("tier"),
        literal_column("FALSE").label("went_on"),
        *(sums.get(name, literal(0)).label(name) for name in _SUMS),
    ).where(is_in(state))
    if not shared:
        return found.where(items.c.job_id.concat("") == bindparam("job"))
    rows = found.join(job_rows, job_rows.c.item_id == items.c.id)
    of_job = job_rows.c.job_id.concat("") == bindparam("job")
    return rows.where(items.c.shared, job_rows.c.fingerprint.is_(None), of_job)


def _stored(table: Any) -> Select[Any]:
    recent = or_(table.c.at == 0, table.c.at >= bindparam("since"))
    return select(*(table.c[name] for name in (*_KEYS[1:], *_SUMS))).where(
        table.c.job_id == bindparam("job"), recent
    )


_MOVED = job_moves.summed(bindparam("job")).subquery()
_ALL = union_all(_stored(job_counts), _stored(job_deltas), _stored(_MOVED)).subquery()
_GROUPS = union_all(
    select(
        *(_ALL.c[name] for name in _KEYS[1:]),
        *(func.sum(_ALL.c[name]).label(name) for name in _SUMS),
    ).group_by(*(_ALL.c[name] for name in _KEYS[1:])),
    *(
        _live(state, shared=shared)
        for state in (State.QUEUED, State.RUNNING)
        for shared in (False, True)
    ),
)
"""In one statement, so that everything is of one moment."""


def counted(connection: Transaction, job_id: str, since: int) -> JobCounts:
    """Where a job's rows are, and which of its own items ended after ``since`` (epoch µs)."""
    found = JobCounts()
    paces: dict[tuple[str, bool], dict[str, Any]] = {}
    given = {"job": job_id, "since": max(1, since // SECOND_US)}
    for row in map(_Group.from_row, connection.execute(_GROUPS, given)):
        rows = row.rows
        if row.part == "booked":
            found.booked += row.spent
        elif row.part == "piece":
            found.spent += row.spent
            found.held += row.held
            found.under_way += row.spent
        elif row.part == "live":
            found.states[State.ROUTED] = found.states.get(State.ROUTED, 0) - rows
            found.states[row.state] = found.states.get(row.state, 0) + rows
            found.held += row.held
        elif row.part == "ends":
            pace = paces.setdefault((row.tier, row.went_on), {})
            ends = pace.setdefault("ends", {})
            ends[row.at] = ends.get(row.at, 0) + rows
        else:
            _add(found, row)
            if row.part != "shared":
                _pace(paces.setdefault((row.tier, row.went_on), {}), row)
    found.spent -= found.booked
    if not found.documents:
        # Those that were cancelled, or ended late, do not say what their pieces have cost.
        found.under_way = 0
    found.states = {state: rows for state, rows in found.states.items() if rows}
    found.paces = [
        TierCount(tier=tier or None, went_on=went_on, **pace)
        for (tier, went_on), pace in sorted(paces.items())
        if pace.get("ended") or pace.get("left")
    ]
    return found


def _add(found: JobCounts, row: _Group) -> None:
    found.states[row.state] = found.states.get(row.state, 0) + row.rows
    if row.state == State.DEAD and row.rows:
        found.dead[row.reason] = found.dead.get(row.reason, 0) + row.rows
    if row.part == "shared" or row.tier == BelowTier.REUSED:
        found.reused += row.rows
    # What a document has cost is what its pieces have.
    if row.part == "document":
        found.under_way -= row.spent
        found.documents += 0 if row.state in _OVER else row.rows
    else:
        found.spent += row.spent
    found.held += row.held


def _pace(pace: dict[str, Any], row: _Group) -> None:
    if row.state in _OVER:
        sums = {name: getattr(row, name) for name in _SUMS[3:]}
        more = {"ended": row.rows, "spent": float(row.spent), **sums}
    else:
        more = {"left": row.rows, "size_left": row.size}
    for name, value in more.items():
        pace[name] = pace.get(name, 0) + value


def began(connection: Transaction, job_id: str, second: int) -> int | None:
    """When a job's first calls began (epoch µs), of which the first ended in that second."""
    first = second * SECOND_US
    early = (
        select(items.c.id)
        .where(
            items.c.ended_at >= first,
            items.c.ended_at < first + SECOND_US,
            items.c.erased_at.is_(None),
            items.c.job_id.concat("") == job_id,
        )
        .order_by(items.c.ended_at)
        .limit(_FIRST)
        .subquery()
    )
    calls = select(func.min(attempts.c.started_at)).join(early, early.c.id == attempts.c.item_id)
    return connection.execute(calls).scalar()


def fold(connection: Transaction) -> None:
    """Add what the log holds to the sums, at any time: of many at once one does it."""
    if connection.dialect.name == "sqlite":
        job_moves.add(connection, 1)
        return
    free = text("SELECT pg_try_advisory_xact_lock(:lock)")
    if not connection.execute(free, {"lock": _FOLDING}).scalar_one():
        return
    oldest = select(job_deltas.c.id).order_by(job_deltas.c.id).limit(_FOLDED)
    # What is seen is what goes: an id that is committed later is folded later.
    gone = (
        delete(job_deltas)
        .where(job_deltas.c.id.in_(oldest))
        .returning(*(job_deltas.c[name] for name in (*_KEYS, *_SUMS)))
        .cte("gone")
    )
    keys = [gone.c[name] for name in _KEYS]
    sums = [cast(func.sum(gone.c[name]), job_counts.c[name].type) for name in _SUMS]
    more = postgresql.insert(job_counts).from_select(
        [*_KEYS, *_SUMS], select(*keys, *sums).group_by(*keys).order_by(*keys)
    )
    added = {name: job_counts.c[name] + more.excluded[name] for name in _SUMS}
    connection.execute(more.on_conflict_do_update(index_elements=_KEYS, set_=added))


def forget_ends(connection: Transaction, now: int) -> None:
    """Take away in which seconds items ended long before ``now`` (epoch µs)."""
    ends = equals(job_counts.c.part, "ends")
    old = job_counts.c.at < (now - _KEPT_US) // SECOND_US
    connection.execute(delete(job_counts).where(ends, old))
