"""One run: a system with the sandbox, its items, the kills, until every item has ended."""

import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bench.ceilings import work
from bench.ceilings.books import claim_times, verdict
from bench.ceilings.kills import Killer, ProviderLog
from bench.ceilings.work import CEILING, OVERAGE, Shape
from bench.stage.system import say
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import balances, items
from tierqueue.operations.cli.system.worker import celery_words
from tools.system import System, procfile


def measured(folder: Path, ledger_url: str, shape: Shape) -> dict[str, Any]:
    """The run that must hold, and in the same system one whose bills come in above the bound."""
    with _system(folder, ledger_url, shape) as (system, ledger):
        log = ProviderLog(system.sandbox_log)
        began = time.monotonic()
        work.submit(ledger, shape.items, shape.lost, CEILING)
        killer = Killer(
            system=system,
            ledger=ledger,
            log=log,
            workers=[name for name, _ in shape.names()],
            wanted=shape.kills,
            spare=shape.kills // 5,
            most=shape.concurrency,
            young=shape.latency / 2,
            progress=lambda: _spent(ledger, CEILING) / shape.limit,
        )
        _until_ended(ledger, killer, 180 + shape.items / 20)
        seconds = time.monotonic() - began
        work.submit(ledger, shape.overage, 0, OVERAGE)
        _until_ended(ledger, None, 120 + shape.overage / 5)
        result = verdict(ledger, log.read(), CEILING, shape.limit)
        over = verdict(ledger, log.read(), OVERAGE, shape.overage_limit)
        over["overage_alarms"] = sum(
            '"event": "overage"' in line
            for process in system.processes.values()
            for line in process.output().splitlines()
        )
    result |= {"kills_during_calls": killer.during, "kills_beside_calls": killer.beside}
    result |= {"seconds": round(seconds, 1), **claim_times(folder / "claims"), "overage_run": over}
    return result


def without_hold(folder: Path, ledger_url: str, shape: Shape) -> dict[str, Any]:
    """The negative control: the same work by workers that hold nothing."""
    with _system(folder, ledger_url, shape, hold="off") as (system, ledger):
        work.submit(ledger, shape.items, shape.lost, CEILING)
        _until_ended(ledger, None, 180 + shape.items / 20)
        return verdict(ledger, ProviderLog(system.sandbox_log).read(), CEILING, shape.limit)


@contextmanager
def _system(
    folder: Path, ledger_url: str, shape: Shape, hold: str = "on"
) -> Iterator[tuple[System, Ledger]]:
    lines, known = {}, procfile()
    for name, tier in shape.names():
        words = celery_words(tier, app="bench.ceilings.worker", name=name, calls=shape.concurrency)
        lines[name] = f"BENCH_TIER={tier} {shlex.join(['celery', *words])}"
    plan = folder / "faults.toml"
    lines["sandbox"] = f"{known['sandbox']} --latency-ms {shape.latency * 1000:g} --faults {plan}"
    (folder / "claims").mkdir(parents=True)
    plan.write_text(work.faults(), encoding="utf-8")
    system = System(
        folder,
        policy=folder / "tierqueue.toml",
        ledger_url=ledger_url,
        processes=["sandbox", "routing", *(name for name, _ in shape.names())],
        lines=lines,
        environ={
            "SANDBOX_KEY": "none",
            "BENCH_CLAIMS": str(folder / "claims"),
            "BENCH_HOLD": hold,
            "TIERQUEUE_LEASE": f"{shape.lease_seconds:g}",
        },
    )
    work.write_policy(shape, system.sandbox_port, folder / "tierqueue.toml")
    with system:
        ledger = Ledger(system.ledger_url)
        try:
            yield system, ledger
        finally:
            ledger.close()


def _spent(ledger: Ledger, budget: str) -> int:
    with ledger.read() as connection:
        found = connection.execute(
            select(func.sum(balances.c.spent)).where(
                balances.c.scope == "budget", balances.c.name == budget
            )
        ).scalar_one()
    return int(found or 0)


def _until_ended(ledger: Ledger, killer: Killer | None, most: float) -> None:
    """Return once every item has ended; raises ``TimeoutError`` after ``most`` seconds."""
    pause, began, said = threading.Event(), time.monotonic(), 0.0
    while True:
        with ledger.read() as connection:
            states = connection.execute(
                select(items.c.state, func.count())
                .where(items.c.ended_at.is_(None))
                .group_by(items.c.state)
            ).all()
        if not states:
            return
        if time.monotonic() - began > most:
            raise TimeoutError(f"items that do not end: {dict(map(tuple, states))}")
        if time.monotonic() - said > 10:
            said = time.monotonic()
            kills = f", {killer.during} kills" if killer else ""
            say(f"{', '.join(f'{count} {state}' for state, count in states)}{kills}")
        if killer is not None:
            killer.step()
        pause.wait(0.2)
