"""Milliseconds from ``.delay()`` to the engine's call, on a system with nothing else to do."""

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.stage.noted_engine import CALLS
from bench.stage.system import DATABASES, ON_DISK, databases, our_system, run, say

SAMPLES = 300
QUICK_SAMPLES = 60
PAUSE = 0.05
"""Seconds between an answer and the next call: long enough for everything to be idle again."""


def main() -> None:
    """Print one JSON line: ``p50_ms`` and ``p99_ms`` of the slower database, and each one's own."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SAMPLES} samples")
    parser.add_argument("--only", choices=DATABASES, help="one of the two databases")
    arguments = parser.parse_args()
    kinds = DATABASES if arguments.only is None else (arguments.only,)
    samples = QUICK_SAMPLES if arguments.quick else SAMPLES
    measured: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="tierqueue-bench-", dir=ON_DISK) as name:
        folder = Path(name)
        with databases(folder) as stores:
            for kind in kinds:
                calls = folder / f"{kind}.calls"
                with our_system(folder / kind, stores.url(kind), {CALLS: str(calls)}) as system:
                    delayed: dict[str, float] = run(
                        "bench.producers.single",
                        samples,
                        PAUSE,
                        environ=system.environ,
                        timeout=60 + samples,
                    )
                measured[kind] = _summary(delayed, calls)
                say(f"{kind:10} {measured[kind]}")
    worst = {
        name: max(figures[name] for figures in measured.values()) for name in ("p50_ms", "p99_ms")
    }
    print(json.dumps({**worst, **measured}))


def _summary(delayed: dict[str, float], calls: Path) -> dict[str, float]:
    """``delayed``: when ``.delay()`` was called, by item; every item must have been called once."""
    called = dict(line.split() for line in calls.read_text(encoding="utf-8").splitlines())
    waits = sorted((float(called[item]) - at) * 1000 for item, at in delayed.items())
    return {
        "p50_ms": round(_rank(waits, 0.50), 2),
        "p99_ms": round(_rank(waits, 0.99), 2),
        "max_ms": round(waits[-1], 2),
        "samples": len(waits),
    }


def _rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return ordered[math.ceil(len(ordered) * share) - 1]


if __name__ == "__main__":
    main()
