"""No engine outlives its worker: a killed worker's engine core would keep the GPU's memory.

vLLM's core notices neither the death of its parent nor the closing of its sockets.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

# Reads until the worker's end of the pipe is closed by its death, then kills what it was told of,
# unless the process id has meanwhile gone to another process.
WATCH = """
import os, signal, sys
told = [pair.split(":") for pair in sys.argv[1:]]
sys.stdin.buffer.read()
for process, started in told:
    try:
        with open(f"/proc/{process}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[19] == started:
                os.kill(int(process), signal.SIGKILL)
    except (OSError, IndexError):
        pass
"""


def started(process: int) -> str:
    """When ``process`` started, in the kernel's ticks; raises ``OSError`` when it is gone."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]


def watch(processes: Iterable[int]) -> subprocess.Popen[bytes]:
    """Have ``processes`` killed once this process is dead, however it dies.

    The watcher is a small process of its own; hand it to ``unwatch`` when all has ended well.
    """
    told = [f"{process}:{started(process)}" for process in processes]
    # Its own session, so that a signal to the worker's group does not end the watcher first.
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own text
        [sys.executable, "-I", "-S", "-c", WATCH, *told],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def unwatch(watcher: subprocess.Popen[bytes]) -> None:
    """End the watcher without a kill; safe to call twice."""
    watcher.kill()
    watcher.wait()
    if watcher.stdin is not None:
        watcher.stdin.close()
