"""The calls that were made for items: where, for how much, how long, and what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from tierqueue.ledger.bulk import among
from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import attempts
from tierqueue.router.outcome import INPUT_CLASSES

_TOKENS = (*INPUT_CLASSES, "output_tokens")


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call; ``cost`` in nano-dollars, ``tokens`` of input and output, 0 where none were told.

    ``seconds``: how long it took, where an answer came.
    """

    tier: str
    deployment: str
    outcome: str | None
    cost: int
    tokens: int
    seconds: float
    simulated: bool


def by_item(connection: Transaction, item_ids: Sequence[str]) -> dict[str, list[RecordedCall]]:
    """The calls of these items, each item's in their order."""
    names = ("tier", "deployment", "outcome", "cost", "usage", "seconds", "simulated")
    found = (
        select(attempts.c.item_id, *(attempts.c[name] for name in names))
        .where(among(attempts.c.item_id))
        .order_by(attempts.c.item_id, attempts.c.fence)
    )
    calls: dict[str, list[RecordedCall]] = {}
    for row in connection.execute(found, {"ids": sorted(set(item_ids))}):
        call = RecordedCall(
            row.tier,
            row.deployment,
            row.outcome,
            row.cost or 0,
            _tokens(row.usage),
            row.seconds or 0.0,
            bool(row.simulated),
        )
        calls.setdefault(row.item_id, []).append(call)
    return calls


def _tokens(usage: dict[str, Any] | None) -> int:
    return 0 if usage is None else sum(int(usage.get(name) or 0) for name in _TOKENS)
