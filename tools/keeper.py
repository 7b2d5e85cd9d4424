"""No process of a system outlives who started it, however that one ends.

A bench or a demo that is killed can end nothing itself. What it starts is told to a small process
of its own, which reads until the end of its pipe, closed by that death, and then kills what is
left. By its group where it leads one, and never a process that merely has the same number now.
"""

import atexit
import os
import subprocess
import sys
import threading
from typing import AnyStr

_KEEPER = """
import contextlib, os, signal, sys
def started(process):
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[19]
told = {}
for line in sys.stdin:
    with contextlib.suppress(OSError):
        told[line.strip()] = started(line.strip())
    print(flush=True)
for process, since in told.items():
    with contextlib.suppress(OSError):
        if started(process) == since:
            leads = os.getpgid(int(process)) == int(process)
            (os.killpg if leads else os.kill)(int(process), signal.SIGKILL)
"""

_TURN = threading.Lock()
_of: dict[int, "subprocess.Popen[str]"] = {}
"""The keeper of this process, by its id: a fork has its own."""


def bound_to_parent(process: "subprocess.Popen[AnyStr]") -> "subprocess.Popen[AnyStr]":
    """``process``, which is killed once this one is dead."""
    kill_with_parent(process.pid)
    return process


def kill_with_parent(pid: int) -> None:
    """Have the process ``pid``, a child of this one, killed once this one is dead."""
    with _TURN:
        keeper = _of.get(os.getpid()) or _begun()
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdin.write(f"{pid}\n")
        keeper.stdin.flush()
        keeper.stdout.readline()  # it knows it


def _begun() -> "subprocess.Popen[str]":
    # Its own session: a Ctrl-C and a kill of the whole group are not to end it first.
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _KEEPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    _of[os.getpid()] = keeper
    atexit.register(_end, os.getpid())
    return keeper


def _end(pid: int) -> None:
    if pid == os.getpid() and (keeper := _of.pop(pid, None)) is not None:
        keeper.communicate()
