"""The spending of the items behind several calls so far, whatever became of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update

from tierqueue.ledger.bulk import among
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items, promises
from tierqueue.router.lifecycle import State
from tierqueue.router.money import NanoUSD

_FOUND = (
    select(
        promises.c.id.label("call"),
        *(items.c[name] for name in ("id", "state", "reason", "calls", "spent", "receipt")),
    )
    .join(items, items.c.id == promises.c.item_id)
    .where(among(promises.c.id))
)


@dataclass(frozen=True, slots=True)
class ItemSpending:
    """One item: ``calls`` made for it and what they cost, in nano-dollars; tokens are those of the
    accepted call, 0 where there is none.
    """

    item: str
    state: State
    reason: str | None
    calls: int
    cost: NanoUSD
    input_tokens: int
    output_tokens: int


def spent(connection: Transaction, call_ids: Sequence[str]) -> dict[str, ItemSpending]:
    """By the Celery id of the call; calls whose item is not there yet are left out."""
    if not call_ids:
        return {}
    rows = connection.execute(_FOUND, {"ids": list(call_ids)})
    return {row.call: _read(row) for row in rows}


def _read(row: Any) -> ItemSpending:
    tokens = (row.receipt or {}).get("tokens") or {}
    return ItemSpending(
        row.id,
        State(row.state),
        row.reason,
        row.calls,
        NanoUSD(row.spent),
        tokens.get("input") or 0,
        tokens.get("output") or 0,
    )


_PART = items.alias()
_OF_PIECES = (
    update(items)
    .where(among(items.c.id), items.c.split.is_not(None), items.c.part_of.is_(None))
    .values(
        spent=select(func.coalesce(func.sum(_PART.c.spent), 0))
        .where(_PART.c.part_of == items.c.id)
        .scalar_subquery()
    )
)


_CLAIMED = (State.RUNNING.value, State.HANDED_OVER.value)
_CLAIMED_PIECES = (
    select(items.c.id)
    .where(among(items.c.part_of), items.c.state.in_(_CLAIMED))
    .order_by(items.c.id)
    .with_for_update()
)


def by_pieces(connection: Connection, item_ids: Sequence[str]) -> None:
    """Of these items those that are documents have cost what their pieces have. Locks what of these
    is claimed: whoever settles one comes before this, or finds its document ended.
    """
    connection.execute(_CLAIMED_PIECES, {"ids": list(item_ids)}).all()
    connection.execute(_OF_PIECES, {"ids": list(item_ids)})
