"""The oracle: judges a fault run from the ledger and from what was logged outside the system.

Stand-alone: it imports nothing of tierqueue. FOLDER holds the logs of producers (``keys-*``), of
the engines (``sandbox.jsonl``, ``engine-*``), of workers (``*.log``), of the faults and samples,
and the policy. Prints each broken invariant with the offending keys, then one JSON line of
figures; the exit status is 1 if anything is broken.
"""

import argparse
import json
import sys
from pathlib import Path

from bench.checker.invariants import check, report
from bench.checker.run import open_run


def main() -> None:
    """Check one folder; exit status 1 if an invariant is broken."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.checker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ledger", help="sqlite:///path or postgresql://…")
    parser.add_argument("--lease", type=float, required=True, help="the workers' lease in seconds")
    asked = parser.parse_args()
    found, figures = check(open_run(asked.folder, asked.ledger), asked.lease)
    report(found)
    print(json.dumps({"broken": sorted(found.by_invariant), **figures}))
    sys.exit(1 if found.by_invariant else 0)


if __name__ == "__main__":
    main()
