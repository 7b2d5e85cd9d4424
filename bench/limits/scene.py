"""The run: eight workers of a tier, a deployment for each case, and what befalls them."""

import os
import random
import shlex
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bench.ceilings.kills import ProviderLog
from bench.limits import figures
from bench.limits.cases import PLAN, WORKERS, Case, cases, in_force, policy, sandbox_limits, travel
from bench.limits.figures import Times
from bench.limits.kinds import KINDS
from bench.stage.system import say
from tierqueue.ledger.in_force import stated_limits
from tierqueue.ledger.lifecycle.items import new_id, prepare
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items
from tierqueue.operations.cli.system.worker import celery_words
from tools.system import System, procfile

IN_FORCE = 2.0
"""Seconds within which what an operator sets holds over all workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One run: ``windows`` that are measured, of ``window`` seconds, after ``warm`` others.

    ``requests`` and ``tokens`` are the limits of a window; ``kills`` SIGKILLs are spread over it.
    """

    window: float
    windows: int
    warm: int
    requests: int
    tokens: int
    kills: int


def run(folder: Path, ledger_url: str, shape: Shape, names: Collection[str]) -> dict[str, Any]:
    """The figures of each case of these names, and those of the outage where it is one of them."""
    wanted = [case for case in cases(shape.requests, shape.tokens) if case.name in names]
    with _system(folder, ledger_url, shape, wanted) as (system, ledger):
        log = ProviderLog(system.sandbox_log)
        _submit(ledger, wanted, shape)
        while not log.read():
            time.sleep(0.1)
        return _played(system, ledger, log, wanted, shape)


def _played(
    system: System, ledger: Ledger, log: ProviderLog, wanted: list[Case], shape: Shape
) -> dict[str, Any]:
    length = shape.window * shape.windows
    begin = time.time() + shape.window * shape.warm
    down, up = begin + shape.window, begin + length - shape.window
    lowered = begin + shape.window * (shape.windows // 2)
    times = Times(
        window=shape.window, begin=begin, end=begin + length, lowered=lowered, down=down, up=up
    )
    outages = [case for case in wanted if case.outage]
    troubles = "".join(f"{case.model} 503\n" for case in outages)
    plan: list[tuple[float, Any]] = [
        (down, lambda: (system.folder / "troubles").write_text(troubles)),
        (up, (system.folder / "troubles").unlink),
        # Said before it is so: what was granted until then has arrived.
        (lowered - IN_FORCE - travel(shape.window), lambda: _state(ledger, wanted)),
        (lowered, lambda: _lower(system, wanted, shape)),
        (begin + shape.window * 2.5, system.restart_broker),
    ]
    dice = random.Random(5)
    for number in range(shape.kills):
        at = begin + length * (number + 0.5) / shape.kills
        plan.append((at, partial(_kill, system, dice.choice(_names()))))
    pause = threading.Event()
    for at, what in sorted(plan, key=lambda step: step[0]):
        pause.wait(max(0.0, at - time.time()))
        what()
    pause.wait(max(0.0, times.end - time.time()))
    # Until what came back has been served for a while.
    pause.wait(shape.window)
    lines = log.read()
    say(f"{len(lines)} calls")
    return {
        case.name: figures.of_outage(case, lines, times, _ended(ledger, case))
        if case.outage
        else figures.figures(case, lines, times)
        for case in wanted
    }


def _state(ledger: Ledger, wanted: list[Case]) -> None:
    """An operator says to what the provider is about to lower the limits that are stated."""
    for case in wanted:
        if case.lowered and case.stated:
            most = {case.policys_limit: in_force(case, lowered=True)}
            with ledger.write() as connection:
                stated_limits.set_limits(connection, case.name, most, "bench")


def _lower(system: System, wanted: list[Case], shape: Shape) -> None:
    """The provider lowers some limits to half."""
    _write_limits(system.folder, wanted, shape, lowered=True)
    say("limits lowered")


def _write_limits(folder: Path, wanted: list[Case], shape: Shape, *, lowered: bool) -> None:
    new = folder / "limits.new"
    new.write_text(sandbox_limits(wanted, shape.window, lowered=lowered), encoding="utf-8")
    new.replace(folder / "limits.toml")


def _kill(system: System, name: str) -> None:
    os.kill(system.processes[name].popen.pid, signal.SIGKILL)
    system.spawn(name)
    say(f"{name} killed")


def _names() -> list[str]:
    return [f"frontier{number}" for number in range(WORKERS)]


def _submit(ledger: Ledger, wanted: list[Case], shape: Shape) -> None:
    """More items for each deployment than its limit allows in the whole run."""
    spans = shape.warm + shape.windows + 3
    for case in wanted:
        # No call has fewer tokens than half of the most.
        each = case.limit if case.of == "requests" else case.limit // 60
        made = [
            KINDS[case.name].new_item((f"{case.name} {number}",), {}, item_id=new_id())
            for number in range(each * spans)
        ]
        for start in range(0, len(made), 500):
            with ledger.write() as connection:
                part = made[start : start + 500]
                prepare(ledger.dialect, part, database_now(connection)).write(connection)


def _ended(ledger: Ledger, case: Case) -> int:
    with ledger.read() as connection:
        found = select(func.count()).where(items.c.task == case.task, items.c.state == "succeeded")
        return int(connection.execute(found).scalar_one())


@contextmanager
def _system(
    folder: Path, ledger_url: str, shape: Shape, wanted: list[Case]
) -> Iterator[tuple[System, Ledger]]:
    folder.mkdir(parents=True)
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    _write_limits(folder, wanted, shape, lowered=False)
    lines = {
        name: shlex.join(
            ["celery", *celery_words("frontier", app="bench.limits.worker", name=name, calls=16)]
        )
        for name in _names()
    }
    lines["sandbox"] = (
        f"{procfile()['sandbox']} --latency-ms 200 --faults {folder / 'plan.toml'}"
        f" --limits {folder / 'limits.toml'} --troubles {folder / 'troubles'}"
    )
    system = System(
        folder,
        policy=folder / "tierqueue.toml",
        ledger_url=ledger_url,
        processes=["sandbox", "routing", *_names()],
        lines=lines,
        environ={
            "SANDBOX_KEY": "none",
            "BENCH_WINDOW": f"{shape.window:g}",
            "TIERQUEUE_IMPORTS": "bench.limits.kinds",
        },
        ready_within=180.0,
    )
    text = policy(wanted, system.sandbox_port)
    (folder / "tierqueue.toml").write_text(text, encoding="utf-8")
    with system:
        ledger = Ledger(system.ledger_url)
        try:
            yield system, ledger
        finally:
            ledger.close()
