"""Progress: who is alive, what waits and since when. Watchdogs look at this and never at queues."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, case, delete, func, insert, select, update

from tierqueue.ledger import pauses
from tierqueue.ledger.models import items, processes, promises, raw_messages
from tierqueue.ledger.pauses import Pause
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.router.lifecycle import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as it last said it was; ages in seconds by the database's clock.

    ``since``: seconds since each moment it told of (``looked``, ``claimed``); ``counts``: since it
    started; ``last_minute``: how much of that was in the last minute.
    """

    id: str
    room: str
    tier: str | None
    up: float
    silent: float
    since: Mapping[str, float]
    counts: Mapping[str, int]
    last_minute: Mapping[str, int]
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is ready for one tier, not paused and not claimed: how many items, and for how many
    seconds the oldest.
    """

    ready: int
    oldest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How the house gets on. ``backlog`` is by tier, with ``route`` for what is not routed yet;
    ``dead`` counts dead letters by reason.
    """

    processes: list[Process]
    backlog: Mapping[str, Backlog]
    waiting: Mapping[str, int]
    paused: list[Pause]
    dead: Mapping[str, int]
    running: int
    overdue_leases: int
    promises_owed: int
    unreadable: int


def beat(
    connection: Transaction,
    process: str,
    *,
    room: str,
    tier: str | None,
    detail: Mapping[str, Any],
) -> None:
    """Write down that a process is alive and what it has done; times in ``detail`` are epoch µs."""
    now = database_now(connection)
    seen = {"seen_at": now, "detail": dict(detail)}
    known = update(processes).where(processes.c.id == process).values(**seen)
    if connection.execute(known).rowcount == 0:
        row = {"id": process, "room": room, "tier": tier, "started_at": now, **seen}
        connection.execute(insert(processes).values(**row))


def leave(connection: Transaction, process: str) -> None:
    """A process ended in order: nobody is to miss it."""
    connection.execute(delete(processes).where(processes.c.id == process))


def forget_silent(connection: Transaction, before: int) -> int:
    """Forget processes not heard of since ``before`` (epoch µs); returns how many."""
    return connection.execute(delete(processes).where(processes.c.seen_at < before)).rowcount


def standing(connection: Transaction) -> Progress:
    """How the house gets on now."""
    now = database_now(connection)
    paused = pauses.standing(connection)
    ended_late = promises.c.kept_at.is_(None) & (items.c.ended_at < now - 10_000_000)
    owed = select(func.count()).join_from(promises, items, promises.c.item_id == items.c.id)
    lapsed = (items.c.state == State.RUNNING.value) & (items.c.lease_until < now)
    return Progress(
        processes=[_process(row, now) for row in connection.execute(select(processes)).mappings()],
        backlog=_backlog(connection, now, paused),
        waiting=_waiting(connection),
        paused=paused,
        dead=_dead(connection),
        running=_count(connection, State.RUNNING),
        overdue_leases=connection.execute(select(func.count()).where(lapsed)).scalar_one(),
        promises_owed=connection.execute(owed.where(ended_late)).scalar_one(),
        unreadable=connection.execute(select(func.count()).select_from(raw_messages)).scalar_one(),
    )


def _dead(connection: Transaction) -> dict[str, int]:
    counted = (
        select(items.c.reason, func.count().label("number"))
        .where(items.c.state == State.DEAD.value)
        .group_by(items.c.reason)
    )
    return {row.reason: row.number for row in connection.execute(counted)}


def _count(connection: Transaction, state: State) -> int:
    counted = select(func.count()).where(items.c.state == state.value)
    return connection.execute(counted).scalar_one()


def _backlog(connection: Transaction, now: int, paused: list[Pause]) -> dict[str, Backlog]:
    # Given back by a worker, an item is ready again at once and carries no time; that of a queued
    # one says when its slice is sent again.
    ready_at = case((items.c.ready_at > 0, items.c.ready_at), else_=items.c.submitted_at)
    counts: dict[str, int] = {}
    since: dict[str, int] = {}
    for state, at in ((State.ROUTED, ready_at), (State.QUEUED, items.c.submitted_at)):
        counted = (
            select(items.c.tier, func.count(), func.min(at))
            .where(items.c.state == state.value, *pauses.free(paused))
            .group_by(items.c.tier)
        )
        for tier, count, oldest in connection.execute(counted):
            counts[tier] = counts.get(tier, 0) + count
            since[tier] = min(oldest, since.get(tier, oldest))
    unrouted = select(func.count(), func.min(items.c.ready_at))
    count, oldest = connection.execute(unrouted.where(items.c.state == State.SUBMITTED.value)).one()
    if count:
        counts["route"], since["route"] = count, oldest
    return {
        name: Backlog(ready=count, oldest=max(0, now - since[name]) / 1e6)
        for name, count in counts.items()
    }


def _waiting(connection: Transaction) -> dict[str, int]:
    counted = (
        select(items.c.reason, func.count())
        .where(items.c.state == State.WAITING.value)
        .group_by(items.c.reason)
    )
    return {str(reason or "unsaid"): count for reason, count in connection.execute(counted)}


def _process(row: RowMapping, now: int) -> Process:
    told = row["detail"]
    moments = told.get("moments", {})
    return Process(
        id=row["id"],
        room=row["room"],
        tier=row["tier"],
        up=(now - row["started_at"]) / 1e6,
        silent=max(0, now - row["seen_at"]) / 1e6,
        since={name: max(0, now - at) / 1e6 for name, at in moments.items() if at},
        counts=told.get("counts", {}),
        last_minute=told.get("last_minute", {}),
        detail={
            name: value
            for name, value in told.items()
            if name not in ("moments", "counts", "last_minute")
        },
    )
