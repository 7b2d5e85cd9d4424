"""Kill everything, again and again, and count what was lost: real workers, both databases."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.checker.invariants import report
from bench.checker.run import open_run, percentile
from bench.faults.run import LEASE_SECONDS, run

DATABASES = ("sqlite", "postgresql")


def total(by_database: dict[str, dict[str, Any]], folders: list[Path]) -> dict[str, Any]:
    """The figures of all databases together; percentiles are taken over all recoveries."""
    summed: dict[str, Any] = {}
    for name in (
        "kills_total",
        "kills_with_claim",
        "restarts",
        "accepted",
        "lost",
        "accepted_twice",
        "died_of_outage",
        "stale_writes_attempted",
        "stale_writes_accepted",
        "unknown_charges",
        "unknown_nanousd",
        "calls",
    ):
        summed[name] = sum(figures[name] for figures in by_database.values())
    for name in ("kills", "ends"):
        counted: Counter[str] = Counter()
        for figures in by_database.values():
            counted.update(figures[name])
        summed[name] = dict(sorted(counted.items()))
    summed["over_ceiling_nanousd"] = max(
        figures["over_ceiling_nanousd"] for figures in by_database.values()
    )
    seconds = sorted(
        line["seconds"]
        for folder in folders
        for line in open_run(folder, None).faults
        if line["kind"] == "recovered"
    )
    summed["recovery_p50_s"], summed["recovery_p99_s"] = (
        percentile(seconds, 50),
        percentile(seconds, 99),
    )
    return summed


def main() -> None:
    """Run, judge, print one JSON line last; exit status 1 if an invariant is broken."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=60, help="over all databases")
    parser.add_argument("--named", action="store_true", help="every crash point at least once")
    parser.add_argument("--databases", default=",".join(DATABASES))
    parser.add_argument("--lease", type=float, default=LEASE_SECONDS)
    parser.add_argument("--keep", type=Path, help="keep the run's logs in this folder")
    asked = parser.parse_args()
    # Whoever ends us early must find nothing of ours running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    databases = asked.databases.split(",")
    if unknown := set(databases) - set(DATABASES):
        parser.error(f"no such database: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    top = asked.keep or Path(tempfile.mkdtemp(prefix="tierqueue-faults-"))
    by_database: dict[str, dict[str, Any]] = {}
    broken: dict[str, list[str]] = {}
    for database in databases:
        found, figures = run(
            top / database,
            database,
            seed=asked.seed,
            kills=asked.kills // len(databases),
            lease_seconds=asked.lease,
            named=asked.named,
        )
        by_database[database] = figures
        report(found, [f"== {database}: {json.dumps(figures)}"])
        if found.by_invariant:
            broken[database] = sorted(found.by_invariant)
    line = {
        "bench": "faults",
        "seed": asked.seed,
        "lease_s": asked.lease,
        **total(by_database, [top / database for database in databases]),
        "broken": broken,
        "wall_s": round(time.monotonic() - began, 1),
        "databases": by_database,
    }
    if asked.keep is None and not broken:
        shutil.rmtree(top)
    elif broken:
        print(f"the logs of the run are in {top}")
    print(json.dumps(line))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
