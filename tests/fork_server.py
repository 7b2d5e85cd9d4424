"""Starts processes of the product as forks of one that has imported it: importing takes longer than
most tests do.

As a program it reads one JSON object a line, ``{"words", "folder", "environ", "output"}``, says
``{"pid"}`` of the process that then runs, and ``{"pid", "ended"}`` when it is no more. All die with
it. ``--vllm`` has it import vLLM too.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

IMPORTED = (
    *("anthropic", "openai.resources.chat", "httpcore2", "tierqueue.tasks.consumer.consumer"),
    *("kombu.transport.redis", "celery.backends.redis", "tierqueue.tasks.settings"),
    *("celery.apps.worker", "celery.bin.celery", "celery.concurrency.thread"),
    *("tierqueue.operations.cli.system.worker", "tierqueue.tasks.kinds"),
    *("tierqueue.operations.health", "tierqueue.operations.status"),
    *("tierqueue.operations.cli.output.printing", "rich.table"),
    *("tierqueue.workers.routing_stage.worker", "tierqueue.workers.tier_worker"),
)
"""What workers load. Importing it reads no environment and opens nothing."""

_PR_SET_PDEATHSIG = 1

TICK_SECONDS = 0.02
"""Seconds between two looks for processes that have ended."""


class Fork:
    """A process that runs, as ``subprocess.Popen`` is one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.ended = threading.Event()

    def poll(self) -> int | None:
        """The exit status; ``None`` while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises ``TimeoutExpired`` after ``timeout`` seconds."""
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process that forks the others; ``vllm``: its forks start engines."""

    def __init__(self, *, vllm: bool = False) -> None:
        self._forks: dict[int, Fork] = {}
        self._begun = queue.SimpleQueue[Fork]()
        # Its own session: a Ctrl-C is the test run's to hear, whose end closes the pipe.
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", *(["--vllm"] if vllm else [])],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(
        self,
        words: Sequence[str],
        *,
        environ: Mapping[str, str],
        output: Path | str,
        folder: Path = ROOT,
    ) -> Fork:
        """Start ``tierqueue …``, ``celery …`` or ``python -c …``; ``output`` takes what it says, a
        file or a terminal.
        """
        assert self._program.stdin is not None
        asked = {
            "words": list(words),
            "folder": str(folder),
            "environ": dict(environ),
            "output": str(output),
        }
        self._program.stdin.write(json.dumps(asked) + "\n")
        self._program.stdin.flush()
        return self._begun.get(timeout=120)

    def close(self) -> None:
        """Kill what still runs."""
        assert self._program.stdin is not None
        self._program.stdin.close()
        self._program.wait(60)
        self._listener.join(60)

    def _listen(self) -> None:
        assert self._program.stdout is not None
        with self._program.stdout as told_by_it:
            for line in told_by_it:
                told = json.loads(line)
                if "ended" not in told:
                    fork = self._forks[told["pid"]] = Fork(told["pid"])
                    self._begun.put(fork)
                else:
                    fork = self._forks.pop(told["pid"])
                    fork.returncode = told["ended"]
                    fork.ended.set()


def end_with_parent() -> None:
    """Have this process killed on Linux when its parent is no more, however that ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _BecomesAnother(BaseException):
    """What ``exec`` would do, with the new program's words."""


def _serve(*, vllm: bool) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    if vllm:
        from tests.workers.engines.forked_cores import fork_cores

        fork_cores()
    gc.freeze()  # A fork that looked through all this for garbage would copy it.
    children: set[int] = set()
    unread = b""
    while True:
        readable, _, _ = select.select([0], [], [], TICK_SECONDS if children else None)
        if readable:
            told = os.read(0, 65_536)
            if not told:
                break
            *lines, unread = (unread + told).split(b"\n")
            for line in lines:
                children.add(pid := _forked(json.loads(line)))
                _say(pid=pid)
        for pid in list(children):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                children.discard(pid)
                _say(pid=pid, ended=os.waitstatus_to_exitcode(status))
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)


def _say(**told: int) -> None:
    print(json.dumps(told), flush=True)  # noqa: T201


def _forked(asked: dict[str, Any]) -> int:
    output = os.open(asked["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY)
    pid = os.fork()
    if pid:
        os.close(output)
        return pid
    # The child never returns to the parent's code, whatever happens.
    status = 1
    try:
        os.setsid()
        end_with_parent()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for ours, theirs in enumerate((nothing, output, output)):
            os.dup2(theirs, ours)
        # The server's own would take what was a pipe for one still.
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environ"])
        time.tzset()
        status = _be(asked["words"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it was, it ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _be(words: list[str]) -> int:
    from celery.bin.celery import main as celery

    from tierqueue.operations.cli import main

    if words[0] == "python":
        exec(compile(words[2], "<string>", "exec"), {"__name__": "__main__"})
        return 0
    if words[0] == "tierqueue":
        os.execv = _instead_of_exec
        try:
            main(words[1:])
        except _BecomesAnother as another:
            words = another.args[0]
        else:
            return 0
    sys.argv = ["celery", *words[1:]]
    return int(celery() or 0)


def _instead_of_exec(_: Any, words: Any) -> Any:
    interpreter, module, *named = words
    assert (interpreter, module) == (sys.executable, "-m")
    raise _BecomesAnother(named)


if __name__ == "__main__":
    _serve(vllm="--vllm" in sys.argv)
