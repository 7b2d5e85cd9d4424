"""Batches for people: listed, and shown with what became of their items."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, func, select

from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts, batches, items


def newest(connection: Transaction, limit: int, *, open_only: bool) -> Sequence[RowMapping]:
    """The batches formed last, the newest first; ``open_only``: those that are not over."""
    order = (batches.c.formed_at.desc(), batches.c.id.desc())
    found = select(batches).order_by(*order).limit(limit)
    if open_only:
        found = found.where(batches.c.ended_at.is_(None))
    return connection.execute(found).mappings().all()


def starting(connection: Transaction, beginning: str, limit: int) -> Sequence[RowMapping]:
    """Up to ``limit`` batches whose ids begin so, the shortest id first."""
    begins = batches.c.id.startswith(beginning, autoescape=True)
    found = select(batches).where(begins).order_by(func.length(batches.c.id), batches.c.id)
    return connection.execute(found.limit(limit)).mappings().all()


def items_of(connection: Transaction, batch_id: str, limit: int) -> list[dict[str, Any]]:
    """Its items with their outcome and cost there (nano-dollars), and the state they are in now."""
    rows = connection.execute(
        select(attempts.c.item_id, attempts.c.outcome, attempts.c.cost, items.c.state)
        .join(items, items.c.id == attempts.c.item_id)
        .where(attempts.c.batch == batch_id)
        .order_by(attempts.c.item_id)
        .limit(limit)
    ).mappings()
    return [dict(row) for row in rows]


def cost_of(connection: Transaction, batch_id: str) -> int:
    """What its requests have cost so far, in nano-dollars."""
    found = select(func.coalesce(func.sum(attempts.c.cost), 0)).where(attempts.c.batch == batch_id)
    return int(connection.execute(found).scalar_one())
