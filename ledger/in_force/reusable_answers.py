"""Answers that may answer again, found by the key of what was asked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, delete, select

from tierqueue.ledger.bulk import among, upsert
from tierqueue.ledger.tables import items, labels, reusable
from tierqueue.router.lifecycle import ENDS, State


@dataclass(frozen=True, slots=True)
class ReuseKey:
    """An item that a model is to answer, and the key of what it asks."""

    key: str
    item_id: str


@dataclass(frozen=True, slots=True)
class FormerItem:
    """The item that was asked the same: its answer, where it has one that still stands.

    ``open``: it has not ended. ``ended_at`` in epoch microseconds.
    """

    item_id: str
    open: bool
    ended_at: int
    stands: bool
    output: Any = field(repr=False)
    receipt: Mapping[str, Any] = field(repr=False)


_WRONG = and_(labels.c.item_id == items.c.id, labels.c.correct.is_(False))
_STANDS = (
    items.c.state == State.SUCCEEDED.value,
    items.c.erased_at.is_(None),
    labels.c.item_id.is_(None),
)
_FORMER = (
    select(
        reusable.c.key,
        *(items.c[name] for name in ("id", "state", "ended_at", "output", "receipt")),
        and_(*_STANDS).label("stands"),
    )
    .join(items, items.c.id == reusable.c.item_id)
    .outerjoin(labels, _WRONG)
    .where(among(reusable.c.key))
)
_VALID = (
    select(items.c.id)
    .outerjoin(labels, _WRONG)
    .where(among(items.c.id), *_STANDS)
    .with_for_update(read=True, skip_locked=True, of=items)
)


def former(connection: Connection, keys: Sequence[str]) -> dict[str, FormerItem]:
    """Who was asked the same before, by key; a key that nobody asked is left out."""
    found = connection.execute(_FORMER, {"ids": sorted(set(keys))})
    return {
        row.key: FormerItem(
            item_id=row.id,
            open=State(row.state) not in ENDS,
            ended_at=row.ended_at or 0,
            stands=bool(row.stands),
            output=row.output,
            receipt=row.receipt or {},
        )
        for row in found
    }


def still_valid(connection: Connection, item_ids: Collection[str]) -> set[str]:
    """Of these items those whose answers still stand, locked against an erasure meanwhile."""
    if not item_ids:
        return set()
    return set(connection.execute(_VALID, {"ids": sorted(item_ids)}).scalars())


def ask(connection: Connection, asked: Sequence[ReuseKey], at: int) -> None:
    """Write down who is asked now (``at`` in epoch microseconds), in place of who was before."""
    for one in sorted(asked, key=lambda one: one.key):
        row = {"item_id": one.item_id, "at": at}
        new = upsert(connection, reusable).values(key=one.key, **row)
        connection.execute(new.on_conflict_do_update(index_elements=["key"], set_=row))


def distrust(connection: Connection, item_id: str) -> None:
    """Reuse an answer no longer that was said to be wrong; where it was itself an earlier item's,
    that one's neither.
    """
    receipt = connection.execute(select(items.c.receipt).where(items.c.id == item_id)).scalar()
    source = (receipt or {}).get("reused_from")
    forget(connection, [item_id, *([source] if source else [])])


def forget(connection: Connection, item_ids: Sequence[str]) -> None:
    """Take away what these items were asked, and that they may answer again."""
    connection.execute(delete(reusable).where(among(reusable.c.item_id)), {"ids": list(item_ids)})


def expire(connection: Connection, before: int, most: int) -> int:
    """Take away up to ``most`` keys from before (epoch microseconds); returns how many."""
    old = select(reusable.c.key).where(reusable.c.at < before).order_by(reusable.c.at).limit(most)
    # Chosen and locked first, in the order in which everybody locks.
    keys = sorted(connection.execute(old.with_for_update(skip_locked=True)).scalars())
    if keys:
        connection.execute(delete(reusable).where(among(reusable.c.key)), {"ids": keys})
    return len(keys)
