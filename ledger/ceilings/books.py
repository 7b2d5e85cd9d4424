"""Ceilings: what may be spent, what is held, what is spent, and the books that prove it.

A hold belongs to the window in which it was made and is settled there, whenever that happens.
All functions run inside the caller's write transaction. Rows are locked in sorted order, items
before balances, so that two transactions never wait for each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Executable, bindparam, case, func, insert, select, tuple_, update

from tierqueue.ledger.bulk import among, insert_many, upsert
from tierqueue.ledger.ceilings.balance import Balance
from tierqueue.ledger.ceilings.ceiling import CEILING, Ceiling
from tierqueue.ledger.ceilings.windows import window_start
from tierqueue.ledger.tables import balances, ceiling_changes, ceilings, entries
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.tables import CeilingRule

Scope = tuple[str, str]
"""A scope's kind and name, such as ``("budget", "acme")``."""


class _BalanceSums(NamedTuple):
    """What a balance has spent and holds."""

    id: str
    """``Balance.id``."""
    spent: NanoUSD
    """Nano-dollars."""
    held: NanoUSD
    """Nano-dollars."""


_OVER = select(*CEILING).where(among(ceilings.c.name))
_found = balances.alias("found")
_SUMS = select(*(balances.c[name] for name in _BalanceSums._fields)).where(among(balances.c.id))
_COUNT = select(func.count()).select_from(_found).where(among(_found.c.id))
_LOCK = _SUMS.order_by(balances.c.id).with_for_update()
_LOCK_ALL = _LOCK.where(_COUNT.scalar_subquery() == bindparam("count"))
"""Locks none where one of them is new."""
_NEW_SPENT = balances.c.spent + bindparam("b_spent")
_NEW_HELD = balances.c.held + bindparam("b_held")
_MOVE = (
    update(balances)
    .where(balances.c.id == bindparam("b_id"))
    .values(
        spent=_NEW_SPENT,
        held=_NEW_HELD,
        peak=case(
            (balances.c.peak < _NEW_SPENT + _NEW_HELD, _NEW_SPENT + _NEW_HELD),
            else_=balances.c.peak,
        ),
    )
)


class Need(NamedTuple):
    """One claim's wish: ``bound`` nano-dollars in every ceiling that covers its scopes."""

    item_id: str
    fence: int
    bound: int
    scopes: Sequence[Scope]


@dataclass(frozen=True, slots=True)
class Hold:
    """The bound is held in each of ``balances`` (ids)."""

    balances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The bound does not fit; nothing of it is held.

    ``hopeless``: it would not fit even if every hold came back. All figures in nano-dollars.
    """

    ceiling: str
    limit: int
    spent: int
    held: int
    needed: int

    @property
    def hopeless(self) -> bool:
        return self.spent + self.needed > self.limit


class Entry(NamedTuple):
    """One change of one balance, in nano-dollars; ``kind``: hold, settle, release, correct."""

    balance_id: str
    item_id: str
    fence: int
    kind: str
    held: int
    spent: int


@dataclass(slots=True)
class _LockedBalance:
    limit: int
    spent: int
    held: int


def seed(connection: Connection, rules: Iterable[CeilingRule], now: int) -> None:
    """Bring the policy's ceilings into the ledger; what an operator has set is left alone."""
    found = [Ceiling._make(row) for row in connection.execute(select(*CEILING))]
    known = {ceiling.key: ceiling for ceiling in found}
    for rule in rules:
        set_now = known.get((rule.scope, rule.name, rule.window))
        if set_now is None or (
            set_now.set_by == "policy"
            and (set_now.limit, set_now.timezone) != (rule.limit, rule.timezone)
        ):
            put(connection, rule, by="policy", now=now)


def put(
    connection: Connection, rule: CeilingRule, *, by: str, now: int, former: int | None = None
) -> int | None:
    """Set a ceiling and write down who did it; returns the limit before, if there was one.

    ``former`` is that limit where the ceiling is new: of the ``*`` that held for its name.
    """
    key = {"scope": rule.scope, "name": rule.name, "window": rule.window}
    values = {"timezone": rule.timezone, "limit": rule.limit, "set_by": by}
    # Inserted first: of two processes that set the same new ceiling, one inserts and one updates.
    inserted = connection.execute(
        upsert(connection, ceilings).values(**key, **values).on_conflict_do_nothing()
    ).rowcount
    before = former
    if not inserted:
        where = tuple_(ceilings.c.scope, ceilings.c.name, ceilings.c.window) == tuple(key.values())
        before = connection.execute(
            select(ceilings.c.limit).where(where).with_for_update()
        ).scalar_one()
        connection.execute(update(ceilings).where(where).values(**values))
    connection.execute(
        insert(ceiling_changes).values(
            at=now,
            by=by,
            **key,
            before=before,
            after=rule.limit,
        )
    )
    return before


def hold(connection: Connection, now: int, needs: Sequence[Need]) -> list[Hold | Shortfall]:
    """Hold each need in all its ceilings or in none, decided one after the other."""
    asked = {scope for need in needs for scope in need.scopes}
    covering = _covering(connection, now, asked)
    locked = _lock(connection, dict(pair for pairs in covering.values() for pair in pairs))
    read_again = False
    ids_of: dict[tuple[Scope, ...], tuple[str, ...]] = {}
    decisions: list[Hold | Shortfall] = []
    written: list[Entry] = []
    for need in needs:
        scopes = tuple(need.scopes)
        if (ids := ids_of.get(scopes)) is None:
            ids = tuple(sorted(rule.id for scope in scopes for rule, _ in covering[scope]))
            ids_of[scopes] = ids
        # What costs nothing fits everywhere, also where a bill came in above its bound.
        tight = [key for key in ids if need.bound and _headroom(locked[key]) < need.bound]
        if tight and not read_again:
            # Raised while this transaction waited for the locks: nobody ends by what was before.
            read_again = True
            for pairs in _covering(connection, now, asked).values():
                for rule, limit in pairs:
                    if rule.id in locked:
                        locked[rule.id].limit = limit
            tight = [key for key in ids if _headroom(locked[key]) < need.bound]
        if tight:
            # A ceiling that can never fit is the one to name: waiting for it is in vain.
            worst = min(tight, key=lambda key: locked[key].limit - locked[key].spent)
            row = locked[worst]
            decisions.append(Shortfall(worst, row.limit, row.spent, row.held, need.bound))
            continue
        for key in ids:
            locked[key].held += need.bound
            written.append(Entry(key, need.item_id, need.fence, "hold", need.bound, 0))
        decisions.append(Hold(ids))
    write(connection, now, written)
    return decisions


def may_cover(connection: Connection, now: int, scope: Scope, bound: int) -> bool:
    """Whether ``bound`` nano-dollars fit every ceiling over a scope, beside what is spent; what is
    held may come back. Nothing is held or locked.
    """
    limits = {balance.id: limit for balance, limit in _covering(connection, now, {scope})[scope]}
    known = _sums(connection, _SUMS, sorted(limits))
    spent = {key: sums.spent for key, sums in known.items()}
    return all(spent.get(key, 0) + bound <= limit for key, limit in limits.items())


def await_claims(connection: Connection, rule: CeilingRule, now: int) -> None:
    """Lock a ceiling's balances of the present window, once claims under way have let go of them.

    Of one over each name (``*``) those that exist: a name's first claim makes its own.
    """
    found = balances.c
    start = window_start(rule.window, rule.timezone, now)
    where = [found.scope == rule.scope, found.window == rule.window, found.start == start]
    if rule.name != "*" or rule.scope == "everything":
        where.append(found.name == rule.name)
        _create(connection, [Balance(rule.scope, rule.name, rule.window, start)])
    locked = select(found.id).where(*where).order_by(found.id).with_for_update()
    connection.execute(locked).all()


def write(connection: Connection, now: int, changes: Sequence[Entry]) -> None:
    """Append entries and move their balances, one update a balance."""
    if not changes:
        return
    sums: dict[str, list[int]] = {}
    for change in changes:
        total = sums.setdefault(change.balance_id, [0, 0])
        total[0] += change.held
        total[1] += change.spent
    insert_many(
        connection,
        entries,
        [{**change._asdict(), "at": now} for change in changes],
    )
    moved = sorted((key, *figures) for key, figures in sums.items())
    connection.execute(
        _MOVE, [{"b_id": key, "b_held": held, "b_spent": spent} for key, held, spent in moved]
    )


def _headroom(row: _LockedBalance) -> int:
    return row.limit - row.spent - row.held


def _covering(
    connection: Connection, now: int, scopes: set[Scope]
) -> Mapping[Scope, list[tuple[Balance, int]]]:
    """For each scope the (balance, limit) pairs of every ceiling over it."""
    names = sorted({name for _, name in scopes} | {"*"})
    over = [Ceiling._make(row) for row in connection.execute(_OVER, {"ids": names})]
    exact = {ceiling.key for ceiling in over}
    found: dict[Scope, list[tuple[Balance, int]]] = {scope: [] for scope in scopes}
    for kind, name in scopes:
        for ceiling in over:
            wildcard = ceiling.name == "*" and (kind, name, ceiling.window) not in exact
            if ceiling.scope == kind and (ceiling.name == name or wildcard):
                balance = Balance(kind, name, ceiling.window, ceiling.start(now))
                found[(kind, name)].append((balance, ceiling.limit))
    return found


def _lock(connection: Connection, limits: Mapping[Balance, int]) -> dict[str, _LockedBalance]:
    if not limits:
        return {}
    by_id = {balance.id: (balance, limit) for balance, limit in limits.items()}
    ids = sorted(by_id)
    locked = _sums(connection, _LOCK_ALL, ids)
    if not locked:
        # New windows are made before anything is locked, or the locks would not be in order.
        _create(connection, [by_id[key][0] for key in ids])
        locked = _sums(connection, _LOCK, ids)
    return {key: _LockedBalance(by_id[key][1], locked[key].spent, locked[key].held) for key in ids}


def _sums(connection: Connection, asked: Executable, ids: Sequence[str]) -> dict[str, _BalanceSums]:
    rows = connection.execute(asked, {"ids": ids, "count": len(ids)})
    return {sums.id: sums for sums in map(_BalanceSums._make, rows)}


def _create(connection: Connection, new: Sequence[Balance]) -> None:
    for balance in new:
        connection.execute(
            upsert(connection, balances)
            .values(id=balance.id, spent=0, held=0, peak=0, **asdict(balance))
            .on_conflict_do_nothing()
        )
