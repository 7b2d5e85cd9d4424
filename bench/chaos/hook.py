"""The crash hook: what a bench passes to a worker as its checkpoint."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any


def note(path: Path, line: dict[str, Any]) -> None:
    """Append one JSON line in a single write, so that a SIGKILL leaves it whole or absent."""
    text = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, text)
    finally:
        os.close(file)


def machine_time() -> float:
    """Seconds since the epoch by the machine's clock, also where the process' own is skewed."""
    return time.clock_gettime(time.CLOCK_REALTIME)


class Hook:
    """Kills its process with SIGKILL at a point that was armed.

    A point is armed by a file of its name in ``folder / "armed"``; the process that takes the file
    away is the one that dies, after it has noted when and where in ``folder / "crashes.jsonl"``.
    """

    def __init__(self, folder: Path, worker: str) -> None:
        self._armed = folder / "armed"
        self._crashes = folder / "crashes.jsonl"
        self._worker = worker

    def __call__(self, point: str) -> None:
        """Die here, if here was armed."""
        try:
            (self._armed / point).unlink()
        except FileNotFoundError:
            return
        self.die(point)

    def die(self, point: str) -> None:
        """Note when and where, and end this process."""
        line = {"at": machine_time(), "point": point, "pid": os.getpid(), "worker": self._worker}
        note(self._crashes, line)
        os.kill(os.getpid(), signal.SIGKILL)
