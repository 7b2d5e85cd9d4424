"""Leases of running items: renewed by their workers, found once they have ended."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from tierqueue.ledger.bulk import among
from tierqueue.ledger.literals import is_in
from tierqueue.ledger.records import ATTEMPT, ITEM, Attempt, Item
from tierqueue.ledger.tables import attempts, items
from tierqueue.router.lifecycle import State

_HELD = (
    select(items.c.id, items.c.fence, items.c.state, items.c.cancel_requested)
    .where(among(items.c.id))
    .order_by(items.c.id)
    .with_for_update()
)
_RENEW = update(items).where(among(items.c.id)).values(lease_until=bindparam("lease"))


def renew(
    connection: Connection, held: Mapping[str, int], lease_until: int
) -> tuple[set[str], set[str]]:
    """Renew the leases of ``held`` (id -> fence); returns (lost, to be cancelled) item ids."""
    if not held:
        return set(), set()
    rows = connection.execute(_HELD, {"ids": sorted(held)}).all()
    mine = {
        row.id: bool(row.cancel_requested)
        for row in rows
        if row.fence == held[row.id] and row.state == State.RUNNING
    }
    if mine:
        connection.execute(_RENEW, {"ids": sorted(mine), "lease": lease_until})
    return held.keys() - mine.keys(), {item_id for item_id, stop in mine.items() if stop}


def claimed(connection: Connection, tier: str, deployment: str | None = None) -> bool:
    """Whether any item of the tier, or of its ``deployment``, is claimed by a worker now."""
    where = [is_in(State.RUNNING), items.c.tier == tier]
    if deployment is not None:
        where.append(items.c.deployment == deployment)
    return connection.execute(select(items.c.id).where(*where).limit(1)).first() is not None


def any_claimed(
    connection: Connection, deployments: Collection[str], budget: str | None = None
) -> bool:
    """Whether any item of these deployments, and of the ``budget``, is claimed by a worker now."""
    where = [is_in(State.RUNNING), items.c.deployment.in_(deployments)]
    if budget is not None:
        where.append(items.c.budget == budget)
    return connection.execute(select(items.c.id).where(*where).limit(1)).first() is not None


class LapsedLease(NamedTuple):
    """A running item whose lease has ended, and its open attempt."""

    item: Item
    attempt: Attempt


_LAPSED = (
    select(*ITEM)
    .where(is_in(State.RUNNING), items.c.lease_until < bindparam("now"))
    .order_by(items.c.lease_until)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


def lapsed(connection: Connection, now: int, most: int) -> list[LapsedLease]:
    """Running items whose lease has ended, locked."""
    rows = connection.execute(_LAPSED, {"now": now, "most": most}).all()
    if not rows:
        return []
    silent = [Item.from_row(row) for row in rows]
    found = connection.execute(
        select(*ATTEMPT).where(attempts.c.item_id.in_([item.id for item in silent]))
    )
    made = [Attempt.from_row(row) for row in found]
    by_claim = {(attempt.item_id, attempt.fence): attempt for attempt in made}
    return [LapsedLease(item, by_claim[item.id, item.fence]) for item in silent]


def most_lost(connection: Connection, workers: Collection[str]) -> dict[str, int]:
    """For each of these workers the most claims that any item it still holds has lost before."""
    if not workers:
        return {}
    found = connection.execute(
        select(attempts.c.worker, func.max(items.c.lost_claims).label("most"))
        .join(items, items.c.id == attempts.c.item_id)
        .where(attempts.c.ended_at.is_(None), attempts.c.worker.in_(sorted(workers)))
        .where(attempts.c.batch.is_(None))
        .group_by(attempts.c.worker)
    )
    return {row.worker: row.most for row in found}
