"""The verdict on a run: the ledger's books held against the provider's own log."""

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from tierqueue.ledger.session import Ledger, Transaction
from tierqueue.ledger.tables import attempts, balances, entries, items

UNKNOWN = ("unknown", "lost")


def verdict(
    ledger: Ledger, log: Sequence[dict[str, Any]], budget: str, limit: int
) -> dict[str, Any]:
    """What became of ``budget`` with its ceiling of ``limit``; money in nano-dollars.

    ``over_by_nanousd`` is the worse of the ledger's highest spent + held and of what the provider
    billed, less the ceiling. ``ledger_minus_provider_log_nanousd`` is over all calls but those
    declared unknown; ``calls_that_differ`` counts the calls whose two prices are not equal.
    """
    with ledger.read() as connection:
        made = connection.execute(
            select(
                attempts.c.item_id,
                attempts.c.fence,
                attempts.c.outcome,
                attempts.c.cost,
                attempts.c.held,
                attempts.c.detail,
            )
            .join(items, items.c.id == attempts.c.item_id)
            .where(items.c.budget == budget)
        ).all()
        mine = set(connection.execute(select(items.c.id).where(items.c.budget == budget)).scalars())
        ends = Counter(
            f"{row.state}:{row.reason}" if row.reason else row.state
            for row in connection.execute(
                select(items.c.state, items.c.reason).where(items.c.budget == budget)
            )
        )
        book = _balance(connection, budget)
        escalated = connection.execute(
            select(func.count()).where(items.c.budget == budget, items.c.refused_by.is_not(None))
        ).scalar_one()
    billed: Counter[tuple[str, str]] = Counter()
    for line in log:
        if line["item"] in mine:
            billed[line["item"], line["fence"]] += line["cost_nanousd"]
    known = {(row.item_id, str(row.fence)): row.cost for row in made if row.outcome not in UNKNOWN}
    unknown = {(row.item_id, str(row.fence)): row.cost for row in made if row.outcome in UNKNOWN}
    calls = known.keys() | (billed.keys() - unknown.keys())
    differences = [known.get(call, 0) - billed[call] for call in calls]
    settled, booked, total = sum(known.values()), sum(unknown.values()), billed.total()
    kinds = Counter(row.outcome for row in made)
    replies = sum(
        row.outcome == "unknown" and (row.detail or {}).get("kind") != "lease_ended" for row in made
    )
    served = [row for row in made if row.outcome == "accepted"]
    costs = [row.cost for row in served] or [1]
    over = [(row.detail or {}).get("overage", 0) for row in made]
    return {
        "items": sum(ends.values()),
        "ceiling_nanousd": limit,
        "over_by_nanousd": max(0, book["peak"] - limit, total - limit),
        "held_after": book["held"] + book["items_held"],
        "ledger_minus_provider_log_nanousd": sum(differences),
        "calls_that_differ": sum(difference != 0 for difference in differences),
        "books_off_by_nanousd": book["off"] + abs(book["spent"] - settled - booked),
        "used_share": round(settled / max(1, limit - booked), 4),
        "unknown_share": round(booked / limit, 4),
        "bound_over_mean_cost": round(sum(row.held for row in served) / sum(costs), 2),
        "highest_over_lowest_bound": round(max(costs) / min(costs), 1),
        "provider_billed_nanousd": total,
        "unknown_booked_nanousd": booked,
        "unknown_billed_nanousd": sum(billed[call] for call in unknown),
        "retries": kinds["failed"],
        "escalations": escalated,
        "lost_replies": replies,
        "overage_nanousd": sum(over),
        "overage_calls": sum(bill > 0 for bill in over),
        "ends": dict(sorted(ends.items())),
    }


def _balance(connection: Transaction, budget: str) -> dict[str, int]:
    """The budget's balance, and how far it is from the sum of its entries."""
    row = connection.execute(
        select(
            func.coalesce(func.sum(balances.c.spent), 0).label("spent"),
            func.coalesce(func.sum(balances.c.held), 0).label("held"),
            func.coalesce(func.max(balances.c.peak), 0).label("peak"),
        ).where(balances.c.scope == "budget", balances.c.name == budget)
    ).one()
    sums = connection.execute(
        select(
            func.coalesce(func.sum(entries.c.spent), 0).label("spent"),
            func.coalesce(func.sum(entries.c.held), 0).label("held"),
        ).where(entries.c.balance_id.startswith(f"budget:{budget}:"))
    ).one()
    held = connection.execute(
        select(func.coalesce(func.sum(items.c.held), 0)).where(items.c.budget == budget)
    ).scalar_one()
    return {
        "spent": int(row.spent),
        "held": int(row.held),
        "peak": int(row.peak),
        "items_held": int(held),
        "off": abs(int(row.spent) - int(sums.spent)) + abs(int(row.held) - int(sums.held)),
    }


def claim_times(folder: Path) -> dict[str, float]:
    """The claims' milliseconds that the workers left: how many, median and 99th percentile."""
    taken = [float(line) for file in folder.glob("*.txt") for line in file.read_text().splitlines()]
    if len(taken) < 2:
        return {"claims": len(taken)}
    cuts = statistics.quantiles(taken, n=100)
    return {
        "claims": len(taken),
        "claim_p50_ms": round(cuts[49], 2),
        "claim_p99_ms": round(cuts[98], 2),
    }
