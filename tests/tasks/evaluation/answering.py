"""Items of an evaluation, answered by the tier that was asked, each with its call."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import insert, select, update

from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts, items

COSTS = {"gpu": 100, "frontier": 1_000}

Told = Callable[[str, Mapping[str, Any]], str | None]
"""A tier's label for these arguments; ``None``: its answer is refused."""


def answer(ledger: Ledger, told: Told) -> int:
    """End every open item: the tier it is pinned to answers, else one after the other. Returns how
    many there were.
    """
    with ledger.write() as connection:
        at = database_now(connection)
        open_ = select(items.c.id, items.c.arguments, items.c.pinned).where(
            items.c.ended_at.is_(None)
        )
        rows = connection.execute(open_).all()
        for row in rows:
            tiers, label = [row.pinned] if row.pinned else ["gpu", "frontier"], None
            made: list[dict[str, Any]] = []
            for fence, tier in enumerate(tiers, start=1):
                label = told(tier, row.arguments)
                made.append(_attempt(row.id, fence, tier, at, accepted=label is not None))
                if label is not None:
                    break
            connection.execute(insert(attempts), made)
            end: dict[str, Any] = {"state": "dead", "reason": "rejected"}
            if label is not None:
                end = {"state": "succeeded", "output": {"label": label, "confidence": None}}
            connection.execute(
                update(items)
                .where(items.c.id == row.id)
                .values(
                    **end,
                    tier=made[-1]["tier"],
                    deployment=made[-1]["deployment"],
                    spent=sum(one["cost"] for one in made),
                    ended_at=at,
                )
            )
    return len(rows)


def _attempt(item_id: str, fence: int, tier: str, at: int, *, accepted: bool) -> dict[str, Any]:
    return {
        "item_id": item_id,
        "fence": fence,
        "tier": tier,
        "deployment": f"{tier}-one",
        "worker": "w",
        "metered": tier != "gpu",
        "balances": [],
        "held": 0,
        "started_at": at,
        "ended_at": at + 1,
        "outcome": "accepted" if accepted else "rejected",
        "cost": COSTS[tier],
        "usage": {"input_tokens": 10, "output_tokens": 2},
        "seconds": 0.5,
        "simulated": True,
    }
