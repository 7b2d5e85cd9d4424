"""What a bench or a demo has started ends with it, also where it is killed."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import until
from tools.system import ROOT

pytestmark = pytest.mark.processes

STARTS = """
import os, sys
from pathlib import Path
from tools.system import Process, broker
folder = Path(sys.argv[1])
server = broker(folder)
line = "sh -c 'sleep 600 & sleep 600'"
process = Process("shell", line, {"PATH": os.environ["PATH"]}, folder / "log")
print(server._process.pid, process.popen.pid, flush=True)
input()
process.end()
process.wait(60)
server.stop()
"""


def started(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", STARTS, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_what_is_killed_leaves_neither_broker_nor_processes_nor_theirs(tmp_path: Path) -> None:
    with started(tmp_path) as bench:
        assert bench.stdout is not None
        broker, shell = (psutil.Process(int(pid)) for pid in bench.stdout.readline().split())
        until(lambda: len(shell.children()) == 2)
        left = [broker, shell, *shell.children()]
        bench.kill()
        until(lambda: all(map(ended, left)))


def test_what_ends_by_itself_ends_as_ever(tmp_path: Path) -> None:
    with started(tmp_path) as bench:
        said, wrong = bench.communicate("\n", timeout=120)
    assert (bench.returncode, wrong) == (0, "")
    assert all(not psutil.pid_exists(int(pid)) for pid in said.split())
