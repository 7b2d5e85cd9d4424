"""The same prompts through the whole system: its broker, durable ledger, routing and gpu worker."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bench.engine.load import DEPLOYMENT, TASK, note
from bench.stage.backlog import until_ended
from bench.stage.system import check_durable
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts, items
from tools.keeper import bound_to_parent
from tools.system import ROOT, System

READY_WITHIN = 600.0
"""Seconds a worker may take to load its model."""

PATIENCE_SECONDS = 900.0
"""Seconds a run may take."""

TICK_SECONDS = 0.2
"""Seconds between two checks whether the job has ended."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: items, seconds from the command's start to the last committed end, token sums.

    ``mean_running`` is over the steps of the engine's scheduler in which anything ran,
    ``peak_running`` since its start.
    """

    items: int
    seconds: float
    input_tokens: int
    cached_tokens: int
    mean_running: float
    peak_running: int

    @property
    def per_second(self) -> float:
        """Items a second."""
        return self.items / self.seconds

    @property
    def hit_rate(self) -> float:
        """The share of input tokens that the prefix cache served."""
        return self.cached_tokens / max(1, self.cached_tokens + self.input_tokens)


@contextmanager
def system(folder: Path, ledger_url: str, policy: Path) -> Iterator[System]:
    """The Procfile's routing stage and gpu worker, with their shipped command lines."""
    with System(
        folder,
        policy=policy,
        ledger_url=ledger_url,
        processes=("routing", "gpu"),
        environ={"TIERQUEUE_IMPORTS": note.__module__, "OMP_NUM_THREADS": "1"},
        ready_within=READY_WITHIN,
    ) as started:
        check_durable(started.ledger_url)
        yield started


def run_job(system: System, name: str, rows: Sequence[dict[str, Any]]) -> Run:
    """Submit the rows as one job and wait until the last has ended.

    Raises ``AssertionError`` unless each succeeded at its first call.
    """
    path = system.folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ledger = Ledger(system.ledger_url)
    try:
        before = _engine(ledger, until=0)
        started = time.time()
        command = bound_to_parent(
            subprocess.Popen(
                ["tierqueue", "job", "submit", str(path), "--anew", "--task", TASK],
                cwd=ROOT,
                env=system.environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        until_ended(ledger, command, started, PATIENCE_SECONDS)
        return _told(ledger, started, len(rows), before)
    finally:
        ledger.close()


def _engine(ledger: Ledger, until: float) -> dict[str, float]:
    """The engine's figures of a heartbeat after ``until`` (epoch seconds) that found it idle."""
    pause = threading.Event()
    while True:
        with ledger.read() as connection:
            at = database_now(connection) / 1e6
            alive = progress.living(connection, round(at * 1e6))
        (worker,) = [process for process in alive if process.tier == "gpu"]
        figures: dict[str, float] = worker.detail["engines"][DEPLOYMENT]
        if at - worker.silent > until and figures["running"] == 0:
            return figures
        pause.wait(TICK_SECONDS)


def _told(ledger: Ledger, started: float, count: int, before: dict[str, float]) -> Run:
    since = round(started * 1e6)
    with ledger.read() as connection:
        ended, states, calls = connection.execute(
            select(
                func.max(items.c.ended_at),
                func.count().filter(items.c.state == "succeeded"),
                func.sum(items.c.calls),
            ).where(items.c.submitted_at >= since)
        ).one()
        usages = connection.execute(
            select(attempts.c.usage).where(attempts.c.started_at >= since)
        ).scalars()
        used = [(usage["input_tokens"], usage.get("cache_read_tokens", 0)) for usage in usages]
    assert (states, calls, len(used)) == (count, count, count), (states, calls, len(used), count)
    after = _engine(ledger, until=ended / 1e6)
    steps = after["steps"] - before["steps"]
    return Run(
        items=count,
        seconds=ended / 1e6 - started,
        input_tokens=sum(fresh for fresh, _ in used),
        cached_tokens=sum(cached for _, cached in used),
        mean_running=(after["running_steps"] - before["running_steps"]) / max(1, steps),
        peak_running=round(after["peak_running"]),
    )


def policy_text(model: str, options: dict[str, Any], window: int, tokenizer: str | None) -> str:
    """A policy for this bench: one deployment of the house, one ceiling that covers each call."""
    counted = f"tokenizer = {json.dumps(tokenizer)}" if tokenizer else ""
    stated = "\n".join(f"{name} = {json.dumps(value)}" for name, value in options.items())
    return f"""
default_sensitivity = "internal"

[deployments.{DEPLOYMENT}]
tier = "gpu"
engine = "vllm"
model = {json.dumps(model)}
boundary = "house"
context_window = {window}
timeout = 600
gpu_hour = "2.00"
{counted}

[deployments.{DEPLOYMENT}.engine_options]
{stated}

[[ceilings]]
scope = "budget"
window = "day"
limit = "100000000"
"""
