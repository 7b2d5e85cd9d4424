"""Announcements of dead letters at the broker: each once, and again after a broker loss."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update

from tierqueue.ledger.bulk import among
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import State

MAX_ANNOUNCED = 10_000
"""The most dead letters that stand on one queue; the oldest fall off."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A dead letter to be announced; ``tier`` is ``None`` where it was never routed."""

    item_id: str
    tier: Tier | None
    reason: str
    ended_at: int


_OWED = select(items.c.id, items.c.tier, items.c.reason, items.c.ended_at).where(
    items.c.state == State.DEAD.value, items.c.announced_at.is_(None)
)


def of_items(connection: Transaction, item_ids: Sequence[str]) -> list[Announcement]:
    """Those of these items that are dead and not announced."""
    if not item_ids:
        return []
    return _letters(connection, _OWED.where(among(items.c.id)), {"ids": list(item_ids)})


def overdue(connection: Transaction, before: int, most: int) -> list[Announcement]:
    """Up to ``most`` dead letters from before ``before`` (epoch µs) that nobody announced."""
    found = _OWED.where(items.c.ended_at < before).order_by(items.c.ended_at).limit(most)
    return _letters(connection, found, {})


def done(connection: Transaction, item_ids: Sequence[str], now: int) -> None:
    """These were announced."""
    if item_ids:
        where = (among(items.c.id), items.c.state == State.DEAD.value)
        connection.execute(
            update(items).where(*where).values(announced_at=now), {"ids": sorted(item_ids)}
        )


def forget(connection: Transaction, announced_before: int, announced_after: int = 0) -> int:
    """Announce the newest ``MAX_ANNOUNCED`` of these dead letters again; returns how many."""
    newest = (
        select(items.c.id)
        .where(
            items.c.state == State.DEAD.value,
            items.c.announced_at < announced_before,
            items.c.announced_at >= announced_after,
        )
        .order_by(items.c.ended_at.desc())
        .limit(MAX_ANNOUNCED)
    )
    ids = list(connection.execute(newest).scalars())
    if ids:
        again = update(items).where(among(items.c.id), items.c.state == State.DEAD.value)
        connection.execute(again.values(announced_at=None), {"ids": sorted(ids)})
    return len(ids)


def _letters(
    connection: Transaction, found: object, parameters: dict[str, object]
) -> list[Announcement]:
    return [
        Announcement(row.id, row.tier and Tier(row.tier), str(row.reason), row.ended_at)
        for row in connection.execute(found, parameters)  # type: ignore[call-overload]
    ]
