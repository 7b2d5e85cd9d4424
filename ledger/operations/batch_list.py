"""Batches for people: listed, and shown with what became of their items."""

from typing import NamedTuple

from sqlalchemy import func, select

from tierqueue.ledger.lifecycle.batches import BATCH, Batch
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, batches, items
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD


class BatchItem(NamedTuple):
    """An item of a batch."""

    item_id: str
    """Whose request it is."""
    outcome: str | None
    """What it ended as in the batch; ``None`` is not known yet."""
    cost: NanoUSD | None
    """Nano-dollars, in the batch."""
    state: State
    """Where the item is now."""


def newest(connection: Transaction, limit: int, *, open_only: bool) -> list[Batch]:
    """The batches formed last, the newest first; ``open_only``: those that are not over."""
    order = (batches.c.formed_at.desc(), batches.c.id.desc())
    found = select(*BATCH).order_by(*order).limit(limit)
    if open_only:
        found = found.where(batches.c.ended_at.is_(None))
    return [Batch.from_row(row) for row in connection.execute(found)]


def starting(connection: Transaction, beginning: str, limit: int) -> list[Batch]:
    """Up to ``limit`` batches whose ids begin so, the shortest id first."""
    begins = batches.c.id.startswith(beginning, autoescape=True)
    found = select(*BATCH).where(begins).order_by(func.length(batches.c.id), batches.c.id)
    return [Batch.from_row(row) for row in connection.execute(found.limit(limit))]


def items_of(connection: Transaction, batch_id: str, limit: int) -> list[BatchItem]:
    """Up to ``limit`` of its items, by their ids."""
    rows = connection.execute(
        select(attempts.c.item_id, attempts.c.outcome, attempts.c.cost, items.c.state)
        .join(items, items.c.id == attempts.c.item_id)
        .where(attempts.c.batch == batch_id)
        .order_by(attempts.c.item_id)
        .limit(limit)
    )
    return [BatchItem(row.item_id, row.outcome, row.cost, State(row.state)) for row in rows]


def cost_of(connection: Transaction, batch_id: str) -> NanoUSD:
    """What its requests have cost so far, in nano-dollars."""
    found = select(func.coalesce(func.sum(attempts.c.cost), 0)).where(attempts.c.batch == batch_id)
    return NanoUSD(int(connection.execute(found).scalar_one()))
