"""SIGKILLs at workers in the middle of a call, spread over a run's spending."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import attempts
from tools.system import System


class ProviderLog:
    """The sandbox's log as it grows: one mapping a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.lines: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """Every line so far."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self.lines.append(json.loads(line))
        return self.lines


@dataclass(slots=True)
class Killer:
    """Kills one worker for each step of spending, ``wanted`` of them during a call.

    A worker is stopped first, so that the ledger can be asked what it is doing and the answer is
    still true when the SIGKILL comes; then it is started again. ``spare`` more may miss, ``most``
    calls may be lost by one, and a call is ``young`` for so many seconds.
    """

    system: System
    ledger: Ledger
    log: ProviderLog
    workers: list[str]
    wanted: int
    spare: int
    most: int
    young: float
    progress: Callable[[], float]
    during: int = 0
    beside: int = 0
    _dice: random.Random = field(default_factory=lambda: random.Random(11))

    def step(self) -> None:
        """Kill a worker in a call if it is time for the next one and there is one."""
        if self.during >= self.wanted or self.during + self.beside >= self.wanted + self.spare:
            return
        # Spread over the first seven tenths of the spending.
        if self.progress() < 0.7 * (self.during + 1) / self.wanted:
            return
        for name in self._dice.sample(self.workers, len(self.workers)):
            if self._killed(name):
                return

    def _killed(self, name: str) -> bool:
        process = self.system.processes[name]
        pid = process.popen.pid
        calls: set[tuple[str, str]] = set()
        os.kill(pid, signal.SIGSTOP)
        try:
            calls = self._open(pid)
            killed = time.time()
            if calls:
                process.popen.kill()
        finally:
            os.kill(pid, signal.SIGCONT)
        if not calls:
            return False
        process.wait(10)
        self.system.spawn(name)
        if self._seen(calls, killed):
            self.during += 1
        else:
            self.beside += 1
        return True

    def _open(self, pid: int) -> set[tuple[str, str]]:
        """The calls of a stopped worker, where it has some and not more than may be lost."""
        with self.ledger.read() as connection:
            rows = connection.execute(
                select(attempts.c.item_id, attempts.c.fence, attempts.c.started_at).where(
                    attempts.c.ended_at.is_(None), attempts.c.worker.endswith(f":{pid}")
                )
            ).all()
            now = database_now(connection)
        calls = {(row.item_id, str(row.fence)) for row in rows}
        done = {(line["item"], line["fence"]) for line in self.log.read()[-500:]}
        old = any(now - row.started_at >= self.young * 1e6 for row in rows)
        return calls if old and len(calls) <= self.most and calls - done else set()

    def _seen(self, calls: set[tuple[str, str]], killed: float) -> bool:
        """Whether the provider was serving one of ``calls`` at that moment, by its own log."""
        pause, until = threading.Event(), time.monotonic() + 5.0
        while time.monotonic() < until:
            for line in self.log.read()[-500:]:
                mine = (line["item"], line["fence"]) in calls
                if mine and line["started"] <= killed <= line["ended"] + 0.001:
                    return True
            pause.wait(0.05)
        return False
