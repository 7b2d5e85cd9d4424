"""Earlier items that a call refers to: what they were given, and what they answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from tierqueue.ledger.bulk import among
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items, promises
from tierqueue.router.lifecycle import State

_COLUMNS = ("id", "state", "arguments", "output", "sensitivity", "erased_at")
_FOUND = (
    select(promises.c.id.label("call"), *(items.c[name] for name in _COLUMNS))
    .join(items, items.c.id == promises.c.item_id)
    .where(among(promises.c.id))
)


@dataclass(frozen=True, slots=True)
class EarlierItem:
    """One item; both are ``None`` once it was erased, and ``output`` until it has succeeded.

    ``sensitivity`` is what was stated until it was routed, then what holds.
    """

    state: State
    arguments: Mapping[str, Any] | None
    output: Any
    sensitivity: str | None
    erased: bool


def earlier(connection: Transaction, call_ids: Sequence[str]) -> dict[str, EarlierItem]:
    """By the Celery id of the call; those that are not known are left out."""
    rows = connection.execute(_FOUND, {"ids": sorted(set(call_ids))})
    return {
        row.call: EarlierItem(
            State(row.state), row.arguments, row.output, row.sensitivity, row.erased_at is not None
        )
        for row in rows
    }
