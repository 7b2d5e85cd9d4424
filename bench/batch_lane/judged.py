"""The line of the bench: the worst figures of all runs, and which promises they break."""

from typing import Any

MOST_COST = 0.6
"""Of what live calls cost."""

MOST_MISSED = 0.001
"""Deadlines, of all items'."""


def summary(runs: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """The worst figures over all runs, and the runs."""
    worst = {key: max(run[key] for run in runs) for key in ("cost_ratio", "deadline_misses")}
    return {
        "bench": "batch_lane",
        "simulated": True,
        "items": count,
        **worst,
        "paid_twice": max(run["paid_twice"] for run in runs),
        "kills": min(run["kills"] for run in runs),
        "discrepancies": max(run["discrepancies"] for run in runs),
        "runs": runs,
    }


def complaints(line: dict[str, Any], count: int) -> list[str]:
    """Which promises are broken."""
    held = {
        f"cost_ratio is {line['cost_ratio']} and not at most {MOST_COST}": line["cost_ratio"]
        <= MOST_COST,
        f"{line['deadline_misses']} deadlines were missed": line["deadline_misses"]
        <= MOST_MISSED * count,
        f"{line['paid_twice']} items were paid twice and not booked so": not line["paid_twice"],
        f"{line['discrepancies']} sums of the books differ": not line["discrepancies"],
        "no kill struck": line["kills"] > 0,
    }
    return [said for said, true in held.items() if not true]
