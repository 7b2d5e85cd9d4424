"""Half price when there is time: what 5,000 items cost with a day's time, against live calls.

    python -m bench.batch_lane            5,000 items, on both databases
    python -m bench.batch_lane --quick    300 items, on both databases

The clock is simulated, the rest is not: a real sandbox, the real SDK, the lane, the ledger. Half of
the batches take ten minutes and one in a hundred more than twenty hours; a lane is killed at each
of its steps, again and again, and another goes on. Costs are the sandbox's own books, promoted
items among them. Progress goes to stderr; the one JSON line at the end has the worst figure over
the runs, and every run. Exits 1 where a promise is broken.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.batch_lane.bills import billed, booked
from bench.batch_lane.judged import complaints, summary
from bench.batch_lane.plant import SECOND, STEPS, Plant
from bench.stage.system import DATABASES, ON_DISK, databases, say
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.tables import attempts, batches, items
from tierqueue.migrations import upgrade

TERMS = 'seed = 11\nmedian = "10m"\nbeyond = "20h"\nshare = 0.01\ncancelling = "2m"\n'
BATCHES = 100
"""How many batches the items come in, so that about one takes more than twenty hours."""

QUICK_BATCHES = 20

KILLS = 3
"""How often the lane is killed at each of its steps, as far as it comes there so often."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.batch_lane",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="300 items: about a minute")
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--database", choices=DATABASES, help="one database alone")
    chosen = parser.parse_args()
    count = 300 if chosen.quick else chosen.items
    kinds = [chosen.database] if chosen.database else list(DATABASES)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tierqueue-batches-", dir=ON_DISK) as made:
        folder = Path(made)
        with databases(folder) as fresh:
            for kind in kinds:
                say(f"{count} items live on {kind}")
                live = _live(folder, fresh.url(kind), count)
                say(f"{count} items with a day's time on {kind}")
                runs.append({"database": kind, **_batched(folder, fresh.url(kind), count, live)})
    line = summary(runs, count)
    broken = complaints(line, count)
    print(json.dumps({**line, "broken": broken}))
    return 1 if broken else 0


def _folder(folder: Path, name: str) -> Path:
    path = folder / f"{name}-{time.monotonic_ns()}"
    path.mkdir()
    return path


def _prompts(count: int) -> list[str]:
    return [
        f"Sum up ticket {n}: the card was charged twice and the shop is closed."
        for n in range(count)
    ]


def _live(folder: Path, url: str, count: int) -> int:
    """What the sandbox bills for the same items, live; nano-dollars."""
    upgrade(url)
    with Plant(_folder(folder, "live"), url, terms=TERMS) as plant:
        plant.submit(_prompts(count), deadline=3_600 * SECOND)
        plant.turn()
        assert plant.states() == {"succeeded": count}, plant.states()
        return sum(line["cost_nanousd"] for line in plant.logged())


def _batched(folder: Path, url: str, count: int, live: int) -> dict[str, Any]:
    upgrade(url)
    size = count // (QUICK_BATCHES if count < 1_000 else BATCHES)
    with Plant(_folder(folder, "batched"), url, terms=TERMS, batch=f"requests = {size}") as plant:
        ids = plant.submit(_prompts(count))
        turns = 0
        while not plant.over(ids):
            plant.to_kill = {step for step in STEPS if plant.kills[step] < KILLS}
            plant.turn()
            turns += 1
            # Most is done in the first hours; of what is left each tick finds little.
            plant.advance(60 if turns < 90 else 600)
            if turns % 100 == 0:
                say(f"{turns} looks: {dict(plant.states())}, {plant.kills.total()} kills")
            assert turns < 2_000, plant.states()
        return _figures(plant, live)


def _figures(plant: Plant, live: int) -> dict[str, Any]:
    rows, lines = plant.rows(items), plant.logged()
    bills, known = billed(lines), booked(plant.ledger)
    cost = sum(line["cost_nanousd"] for line in lines)
    with plant.ledger.read() as connection:
        discrepancies = audit.audit(connection)
    missed = [
        row for row in rows if row["state"] != "succeeded" or row["ended_at"] > row["deadline"]
    ]
    made = plant.rows(batches)
    return {
        "cost_ratio": round(cost / live, 3),
        "deadline_misses": len(missed),
        "paid_twice": sum(count > max(1, known[item]) for item, count in bills.items()),
        "paid_twice_and_booked": sum(count > 1 for count in bills.values()),
        "promoted": sum(not line["batch"] for line in lines),
        "batches": len(made),
        "batches_cancelled": sum(row["cancelled_at"] is not None for row in made),
        "kills": plant.kills.total(),
        "kills_at": dict(plant.kills),
        "booked_nanousd": sum(row["cost"] for row in plant.rows(attempts)),
        "billed_nanousd": cost,
        "discrepancies": len(discrepancies),
    }


if __name__ == "__main__":
    sys.exit(main())
