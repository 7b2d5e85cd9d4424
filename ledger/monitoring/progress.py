"""Progress: who is alive, what waits and since when. Watchdogs look at this and never at queues."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.monitoring import backlog, endings
from tierqueue.ledger.monitoring.backlog import Backlog, RunningCalls, WaitingItems
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items, processes, promises, raw_messages
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.duration import SECOND_US

_LATE_US = 10 * SECOND_US
"""Microseconds after an item's end in which its producer is told without anybody's help."""

_PROMISES = 20_000
"""Promises not kept that a check goes through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as it last said it was; ages in seconds by the database's clock.

    ``since``: seconds since each moment it told of (``looked``, ``claimed``); ``counts``: since it
    started; ``last_minute``: how much of that was in the last minute.
    """

    id: str
    kind: str
    tier: str | None
    up: float
    silent: float
    since: Mapping[str, float]
    counts: Mapping[str, int]
    last_minute: Mapping[str, int]
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How work gets on. ``backlog`` is by tier, with ``route`` for what is not routed yet;
    ``dead`` counts dead letters by reason, of very many the newest.
    """

    processes: list[Process]
    backlog: Mapping[str, Backlog]
    waiting: list[WaitingItems]
    running: list[RunningCalls]
    paused: list[Pause]
    dead: Mapping[str, int]
    overdue_leases: int
    promises_owed: int
    unreadable: int


class _Beat(NamedTuple):
    """What a process last wrote of itself."""

    id: str
    """Its kind, host and process id."""
    room: str
    """Its kind."""
    tier: str | None
    """Which tier it serves."""
    started_at: int
    """Epoch microseconds."""
    seen_at: int
    """Epoch microseconds."""
    detail: Mapping[str, Any]
    """``moments``, ``counts``, ``last_minute``, and what else its kind tells."""

    def process(self, now: int) -> Process:
        """The process, with ages at ``now`` (epoch microseconds)."""
        detail = dict(self.detail)
        moments = detail.pop("moments", {})
        return Process(
            id=self.id,
            kind=self.room,
            tier=self.tier,
            up=(now - self.started_at) / SECOND_US,
            silent=max(0, now - self.seen_at) / SECOND_US,
            since={name: max(0, now - at) / SECOND_US for name, at in moments.items() if at},
            counts=detail.pop("counts", {}),
            last_minute=detail.pop("last_minute", {}),
            detail=detail,
        )


_BEAT = tuple(processes.c[name] for name in _Beat._fields)


def beat(
    connection: Transaction,
    process: str,
    *,
    kind: str,
    tier: str | None,
    detail: Mapping[str, Any],
) -> None:
    """Write down that a process is alive and what it has done; times in ``detail`` are epoch µs."""
    now = database_now(connection)
    seen = {"seen_at": now, "detail": dict(detail)}
    known = update(processes).where(processes.c.id == process).values(**seen)
    if connection.execute(known).rowcount == 0:
        row = {"id": process, "room": kind, "tier": tier, "started_at": now, **seen}
        connection.execute(insert(processes).values(**row))


def leave(connection: Transaction, process: str) -> None:
    """A process ended in order: nobody is to miss it."""
    connection.execute(delete(processes).where(processes.c.id == process))


def forget_silent(connection: Transaction, before: int) -> int:
    """Forget processes not heard of since ``before`` (epoch µs); returns how many."""
    return connection.execute(delete(processes).where(processes.c.seen_at < before)).rowcount


def snapshot(connection: Transaction) -> Progress:
    """How work gets on now. What is counted is bounded, so that it costs the same at any size."""
    now = database_now(connection)
    paused = pauses.in_force(connection)
    lapsed = is_in(State.RUNNING) & (items.c.lease_until < now)
    return Progress(
        processes=living(connection, now),
        backlog=backlog.ready(connection, now, paused),
        waiting=backlog.waiting(connection, now),
        running=backlog.running(connection, now),
        paused=paused,
        dead=endings.by_reason(connection, 0),
        overdue_leases=connection.execute(select(func.count()).where(lapsed)).scalar_one(),
        promises_owed=_promises_owed(connection, now),
        unreadable=connection.execute(select(func.count()).select_from(raw_messages)).scalar_one(),
    )


def living(connection: Transaction, now: int) -> list[Process]:
    """Every process that is known, also one that fell silent not long ago."""
    rows = connection.execute(select(*_BEAT).order_by(processes.c.id))
    return [_Beat._make(row).process(now) for row in rows]


def _promises_owed(connection: Transaction, now: int) -> int:
    """Promises not kept of items that ended some time ago, among those of the oldest items."""
    oldest = (
        select(promises.c.item_id)
        .where(promises.c.kept_at.is_(None))
        .order_by(promises.c.item_id)
        .limit(_PROMISES)
        .subquery()
    )
    late = items.c.ended_at < now - _LATE_US
    owed = select(func.count()).join_from(oldest, items, oldest.c.item_id == items.c.id)
    return connection.execute(owed.where(late)).scalar_one()
