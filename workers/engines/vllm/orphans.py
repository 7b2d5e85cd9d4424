"""No engine outlives its worker: a killed worker's engine core would keep the GPU's memory.

vLLM's core notices neither the death of its parent nor the closing of its sockets.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

# Looks for cores that the worker starts from now on until it is told of all of them, and reads on
# until the worker's end of the pipe is closed by its death. Then it kills them, unless a process id
# has meanwhile gone to another process. A core that loads is a child like any that Python spawns.
WATCH = """
import os, select, signal, sys
def stat(process):
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()
def core(process):
    with open(f"/proc/{process}/cmdline", "rb") as file:
        line = file.read()
    return line.startswith(b"VLLM::") or b"multiprocessing.spawn" in line
def cores():
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            seen = stat(process)
            if seen[1] == worker and process != own and core(process):
                yield process, seen[19]
        except (OSError, IndexError):
            pass
worker, own = sys.argv[1], str(os.getpid())
others, told = set(cores()), {}
print(flush=True)
while not select.select([0], [], [], 0.2)[0]:
    told.update(set(cores()) - others)
told.update(pair.split(":") for pair in sys.stdin.readline().split())
sys.stdin.read()
for process, started in told.items():
    try:
        if stat(process)[19] == started:
            os.kill(int(process), signal.SIGKILL)
    except (OSError, IndexError):
        pass
"""


def started(process: int) -> str:
    """When ``process`` started, in the kernel's ticks; raises ``OSError`` when it is gone."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]


def start_watcher() -> subprocess.Popen[bytes]:
    """Have this process's engine cores killed once it is dead, however it dies.

    From before they are started: one that is still loading would wait for minutes. The watcher is
    a small process of its own: ``set_processes`` tells it that all are there, ``end_watcher`` that
    all has ended well.
    """
    # Its own session, so that a signal to the worker's group does not end the watcher first.
    watcher = subprocess.Popen(  # noqa: S603 - our own interpreter and our own text
        [sys.executable, "-I", "-S", "-c", WATCH, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert watcher.stdout is not None
    watcher.stdout.readline()  # it looks now
    return watcher


def set_processes(watcher: subprocess.Popen[bytes], processes: Iterable[int]) -> None:
    """All cores have been started, and these are their processes: no more are looked for."""
    assert watcher.stdin is not None
    told = " ".join(f"{process}:{started(process)}" for process in processes)
    watcher.stdin.write(f"{told}\n".encode())
    watcher.stdin.flush()


def end(watcher: subprocess.Popen[bytes]) -> None:
    """Have what was seen so far killed now: the engine did not start."""
    assert watcher.stdin is not None
    watcher.stdin.close()
    watcher.wait()
    end_watcher(watcher)


def end_watcher(watcher: subprocess.Popen[bytes]) -> None:
    """End the watcher without a kill; safe to call twice."""
    watcher.kill()
    watcher.wait()
    for pipe in (watcher.stdin, watcher.stdout):
        if pipe is not None:
            pipe.close()
