"""Items a second, against bare Celery: one by one (online) and from a file (backlog)."""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.stage.backlog import Backlog, run_job
from bench.stage.bare import bare_celery
from bench.stage.system import (
    DATABASES,
    ON_DISK,
    Databases,
    check_durable,
    databases,
    our_system,
    run,
    say,
)
from tools.system import System

NODES = (1, 2)
"""Bare Celery runs on one node and on two; the better counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each part takes, in seconds; ``job`` is the size of the first job, in items."""

    pairs: int
    warming: float
    counting: float
    job: int
    job_seconds: float


FULL = Plan(pairs=5, warming=3.0, counting=20.0, job=20_000, job_seconds=20.0)
QUICK = Plan(pairs=1, warming=0.5, counting=2.5, job=5_000, job_seconds=0.0)

Rates = dict[str, list[float]]


def main() -> None:
    """Print one JSON line: ``{"sqlite": {…}, "postgresql": {…}}``."""
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short pair, under a minute")
    parser.add_argument("--only", choices=DATABASES, help="one of the two databases")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    kinds = DATABASES if arguments.only is None else (arguments.only,)
    measured: dict[str, Rates] = {kind: {} for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="tierqueue-bench-", dir=ON_DISK) as name:
        folder = Path(name)
        with databases(folder) as stores:
            for pair in range(plan.pairs):
                for kind in kinds:
                    place = folder / f"{kind}{pair}"
                    # Interleaved, and each side first as often as the other.
                    sides = [_bare, _ours] if pair % 2 == 0 else [_ours, _bare]
                    for side in sides:
                        side(place, kind, stores, plan, measured[kind])
    print(json.dumps({kind: _summary(rates) for kind, rates in measured.items()}))


def _bare(place: Path, kind: str, _: Databases, plan: Plan, rates: Rates) -> None:
    for nodes in NODES:
        with bare_celery(place / f"bare{nodes}", nodes, _plain_environ()) as environ:
            told = _produce("bench.producers.bare", environ, plan)
        _note(rates, f"bare{nodes}", kind, told["results"] / told["seconds"])


def _ours(place: Path, kind: str, stores: Databases, plan: Plan, rates: Rates) -> None:
    with our_system(place / "ours", stores.url(kind)) as system:
        check_durable(system.ledger_url)
        told = _produce("bench.producers.ours", system.environ, plan)
        _note(rates, "online", kind, told["results"] / told["seconds"])
        _note(rates, "backlog", kind, _job(system, plan, rates).per_second)


def _job(system: System, plan: Plan, rates: Rates) -> Backlog:
    """A job of at least ``plan.job_seconds``, as large as earlier ones say it must be."""
    count = max(plan.job, round(max(rates.get("backlog", [0.0])) * plan.job_seconds * 1.2))
    while True:
        done = run_job(system, count)
        if done.seconds >= plan.job_seconds:
            return done
        say(f"  a job of {count} took {done.seconds:.1f} s: a larger one")
        count = round(done.per_second * plan.job_seconds * 1.3)


def _produce(module: str, environ: dict[str, str], plan: Plan) -> Any:
    most = plan.warming + plan.counting + 180
    return run(module, plan.warming, plan.counting, environ=environ, timeout=most)


def _plain_environ() -> dict[str, str]:
    """As small an environment as a system's processes get."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }


def _note(rates: Rates, name: str, kind: str, rate: float) -> None:
    rates.setdefault(name, []).append(rate)
    say(f"{kind:10} {name:8} {rate:8.0f}/s")


def _summary(rates: Rates) -> dict[str, float]:
    bare = max(median(rates[f"bare{nodes}"]) for nodes in NODES)
    online, backlog = median(rates["online"]), median(rates["backlog"])
    return {
        "bare_celery_per_s": round(bare, 1),
        "online_per_s": round(online, 1),
        "online_ratio": round(online / bare, 3),
        "backlog_per_s": round(backlog, 1),
        "backlog_ratio": round(backlog / bare, 3),
    }


if __name__ == "__main__":
    main()
