"""Do ceilings hold to the nano-dollar, and are they used up?

    python -m bench.ceilings            1,000 items on $5 and 20,000 on $100, each on both databases
    python -m bench.ceilings --quick    300 items on $1.50, on both databases

Each run: concurrent items on a ceiling for about half of them by actual cost, bounds about four
times the mean actual cost, actual costs spread 10:1, eight worker processes, SIGKILLs during calls,
5xx replies, refused answers and lost replies. Then a second budget whose bills come in above their
bounds, and a negative control whose workers hold nothing. Progress goes to stderr; the one JSON
line at the end has the worst figure over all runs, and every run. Exits 1 where a promise is
broken or the control is not.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.ceilings.run import measured, without_hold
from bench.ceilings.work import Shape
from bench.stage.system import DATABASES, ON_DISK, databases, say

SHAPES = {
    300: Shape(300, kills=2, lost=1, overage=20, concurrency=1, latency=0.2, lease_seconds=6),
    1_000: Shape(
        1_000, kills=10, lost=1, overage=100, concurrency=1, latency=0.4, lease_seconds=10
    ),
    20_000: Shape(
        20_000, kills=20, lost=40, overage=400, concurrency=4, latency=0.1, lease_seconds=10
    ),
}
CONTROL = replace(SHAPES[1_000], kills=0, latency=0.05)
QUICK_CONTROL = replace(CONTROL, items=60, concurrency=4, processes=2)
KILLS = 10
"""Kills during calls that a run must have seen; ``--quick`` has fewer, since a ceiling that small
has no headroom for so many unknown charges."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ceilings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="300 items: less than 90 seconds")
    parser.add_argument("--items", type=int, choices=SHAPES, help="one size alone")
    parser.add_argument("--database", choices=DATABASES, help="one database alone")
    chosen = parser.parse_args()
    sizes = [300] if chosen.quick else [chosen.items] if chosen.items else [1_000, 20_000]
    kinds = [chosen.database] if chosen.database else list(DATABASES)
    runs: list[dict[str, Any]] = []
    controls: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tierqueue-ceilings-", dir=ON_DISK) as made:
        folder = Path(made)
        with databases(folder) as fresh:
            for kind in kinds:
                for size in sizes:
                    say(f"{size} items on {kind}")
                    at = folder / f"{kind}-{size}"
                    runs.append({"database": kind} | measured(at, fresh.url(kind), SHAPES[size]))
                if chosen.quick and controls:
                    continue
                say(f"negative control on {kind}: the hold is switched off")
                shape = QUICK_CONTROL if chosen.quick else CONTROL
                control = without_hold(folder / f"{kind}-control", fresh.url(kind), shape)
                controls.append({"database": kind} | control)
    line = summary(runs, controls)
    broken = complaints(line, 1 if sizes == [300] else KILLS)
    print(json.dumps(line | {"broken": broken}))
    return 1 if broken else 0


def summary(runs: list[dict[str, Any]], controls: list[dict[str, Any]]) -> dict[str, Any]:
    """The worst figure over all runs, and the runs."""

    def most(key: str) -> Any:
        return max((run[key] for run in runs), key=abs)

    worst = {
        key: most(key)
        for key in (
            "over_by_nanousd",
            "held_after",
            "ledger_minus_provider_log_nanousd",
            "calls_that_differ",
            "books_off_by_nanousd",
            "unknown_share",
            "claim_p50_ms",
            "claim_p99_ms",
        )
    }
    least = {
        key: min(run[key] for run in runs)
        for key in (
            "used_share",
            "kills_during_calls",
            "retries",
            "escalations",
            "lost_replies",
        )
    }
    over = [run.pop("overage_run") for run in runs]
    return (
        worst
        | least
        | {
            "control_over_by_nanousd": min(control["over_by_nanousd"] for control in controls),
            "runs": runs,
            "overage_runs": over,
            "controls": controls,
        }
    )


def complaints(line: dict[str, Any], kills: int) -> list[str]:
    """Every promise that the figures break."""
    zero = (
        "over_by_nanousd",
        "held_after",
        "ledger_minus_provider_log_nanousd",
        "calls_that_differ",
        "books_off_by_nanousd",
    )
    broken = [f"{key} is {line[key]}" for key in zero if line[key]]
    broken += [f"no {key}" for key in ("retries", "escalations", "lost_replies") if not line[key]]
    if line["used_share"] < 0.97:
        broken.append(f"used_share is {line['used_share']}")
    if line["unknown_share"] > 0.1:
        broken.append(f"unknown_share is {line['unknown_share']}")
    if line["kills_during_calls"] < kills:
        broken.append(f"only {line['kills_during_calls']} kills during calls")
    if line["control_over_by_nanousd"] <= 0:
        broken.append("the control without a hold did not overspend")
    for over in line["overage_runs"]:
        told = over["overage_alarms"] == over["overage_calls"] > 0
        exact = not over["ledger_minus_provider_log_nanousd"] and not over["calls_that_differ"]
        if not told or not exact or over["over_by_nanousd"] > over["overage_nanousd"]:
            broken.append("overage was not booked in full and alarmed")
    return broken


if __name__ == "__main__":
    sys.exit(main())
