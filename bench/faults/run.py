"""One database's run, from start to verdict."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import redis

from bench.chaos.hook import note
from bench.chaos.plant import Plant
from bench.chaos.storm import Storm
from bench.chaos.watch import Watch
from bench.checker import invariants
from bench.checker.run import Run, Violations, connect, open_run

LEASE_SECONDS = 2.0
"""Seconds; the shortest that leaves a heartbeat time on a busy machine."""

BACKLOG = 150
"""Open items below which the producers submit more."""

STORM_SECONDS = 120.0
"""The most a storm may take beside its kills: providers are away for 80."""

SECONDS_A_KILL = 4.0
"""The most a kill may take on average, waiting for an armed point included."""

QUIET_SECONDS = 90.0
"""How long the system may take to end everything once the producers have stopped."""


def run(
    folder: Path,
    database: str,
    *,
    seed: int,
    kills: int,
    lease_seconds: float = LEASE_SECONDS,
    named: bool = False,
    tight: str = "0.02",
    twins: dict[str, str] | None = None,
    quiet_seconds: float = QUIET_SECONDS,
) -> tuple[Violations, dict[str, Any]]:
    """One database's run, from start to verdict; what it left stays in ``folder``."""
    began = time.monotonic()
    plant = Plant(folder, database, lease_seconds=lease_seconds, tight=tight, twins=twins)
    with plant.running():
        watch = Watch(plant.ledger_url, folder, plant.attended)
        watch.start()
        producers = [plant.produce(f"producer-{n}", seed * 10 + n, BACKLOG) for n in (1, 2)]
        storm = Storm(plant, watch, seed, kills, named=named)
        threading.Event().wait(1.0)
        storm.run(time.monotonic() + STORM_SECONDS + kills * SECONDS_A_KILL)
        stormed = time.monotonic() - began
        (folder / "stop").touch()
        for pid in producers:
            plant.nursery.wait(pid, 60)
        quiet = _quiet(plant, watch, quiet_seconds)
        watch.stop()
        _export_results(plant)
        crashes = open_run(folder, None).crashes
        ours = {*producers, *storm.killed, *storm.deploys.told, *(line["pid"] for line in crashes)}
        alone = {pid: status for pid, status in plant.nursery.ended.items() if pid not in ours}
        judged = open_run(folder, plant.ledger_url)
        found, figures = invariants.check(judged, lease_seconds)
    if storm.deploys.slow:
        found.add("drain", "workers", f"did not end after SIGTERM: {storm.deploys.slow}")
    for pid, status in alone.items():
        found.add("alive", plant.nursery.names[pid], f"ended by itself with status {status}")
    if storm.missed:
        found.add("bite", "schedule", f"not reached: {', '.join(storm.missed)}")
    figures |= {
        "poison_spared": _spared(judged),
        "kills": dict(sorted(storm.by_kind.items())),
        "kills_total": storm.by_kind.total(),
        "kills_with_claim": storm.with_claim,
        "missed": storm.missed,
        "restarts": storm.deploys.restarts,
        "quiet": quiet,
        "storm_s": round(stormed, 1),
        "wall_s": round(time.monotonic() - began, 1),
    }
    return found, figures


def _spared(run: Run) -> int:
    """How often a poison killed a worker and was not blamed for it, because something beside it had
    lost more workers before: as many more kills it takes until it is dead.
    """
    lost = blamed = 0
    for line in run.keys:
        if line["how"] == "poison" and (item := run.item_of(line["key"])) is not None:
            lost += len(invariants.lost_with(run, item))
            blamed += item["lost_claims"]
    return max(0, lost - blamed)


def _quiet(plant: Plant, watch: Watch, seconds: float) -> bool:
    """Wait until nothing is open and no call by name is on its way; whether that came."""
    until = time.monotonic() + seconds
    pause = threading.Event()
    still = 0
    while time.monotonic() < until and still < 3:
        with redis.Redis.from_url(plant.broker_url) as client:
            on_its_way = client.llen("route")
        still = still + 1 if not on_its_way and watch.open_items() == 0 else 0
        pause.wait(0.3)
    return still >= 3


def _export_results(plant: Plant) -> None:
    """Write down what the broker tells producers, for the checker to compare."""
    keys = [row["id"] for row in connect(plant.ledger_url)("SELECT id FROM promises")]
    with redis.Redis.from_url(plant.broker_url) as client:
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            for key, told in zip(
                some, client.mget([f"celery-task-meta-{key}" for key in some]), strict=True
            ):
                if told is not None:
                    meta = json.loads(told)
                    line = {"key": key, "status": meta["status"], "result": meta["result"]}
                    note(plant.folder / "results.jsonl", line)
