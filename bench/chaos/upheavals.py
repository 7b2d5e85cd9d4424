"""Upheavals beside kills: deploys, and a broker or a database that goes and comes back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis

from bench.chaos.plant import WORKERS, Plant
from bench.chaos.watch import Watch
from bench.checker.invariants import TROUBLES

ROUND = 20.0
"""Seconds in which a deploy has restarted every worker once, and begins again."""

DRAIN = 20.0
"""Seconds a worker may take to end after SIGTERM: its calls take less than one."""

AWAY = 0.5
"""Seconds for which nobody listens on the broker's port."""

OLDER = 4.0
"""Seconds that a copy of the broker is older than what it is put back over."""

BLACK_HOLE = 2.5
"""Seconds for which the broker takes connections and says nothing."""

OUTAGE = 60.0
REVOKED = 20.0
"""Seconds for which every provider is down, and for which they refuse the key."""

BRIEF = 1 / 3
"""How much of that a run with few kills waits for."""

MET = 30.0
"""Seconds more that such a trouble lasts at most, for the first call that meets it."""

CUTTING = 3.0
CUT_EVERY = 0.25
"""Seconds over which connections are cut, and between two cuts."""

MIGRATION = 30.0
"""Seconds that a migration with nothing to do may take on a busy machine."""


class Deploys:
    """Rolling restarts without an end: one worker after another is told to drain and end.

    ``slow`` names the workers that did not end in ``DRAIN`` seconds; ``told`` are the pids of all
    that were told to.
    """

    def __init__(self, plant: Plant, watch: Watch) -> None:
        self._plant = plant
        self._watch = watch
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.quiet = threading.Lock()
        """Held by whoever must not be disturbed: no restart begins meanwhile."""
        self.restarts = 0
        self.slow: list[str] = []
        self.told: set[int] = set()

    def start(self) -> None:
        """Begin with the first worker."""
        self._thread.start()

    def stop(self) -> None:
        """End once the restart under way is done."""
        self._stopping.set()
        self._thread.join(DRAIN + 5)

    def _run(self) -> None:
        while True:
            for name in WORKERS:
                if self._stopping.wait(ROUND / len(WORKERS)):
                    return
                with self.quiet:
                    self._restart(name)

    def _restart(self, name: str) -> None:
        pid = self._plant.pid(name)
        if pid is None or not self._plant.is_ready(name):
            return
        began = time.monotonic()
        self.told.add(pid)
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        if not self._plant.nursery.wait(pid, DRAIN):
            self.slow.append(name)
            return
        status = self._plant.nursery.ended[pid]
        self.restarts += status == 0
        seconds = round(time.monotonic() - began, 3)
        self._watch.fault("restart", worker=name, status=status, seconds=seconds)


class Upheavals:
    """One method a fault; each returns once what it took away is back."""

    def __init__(self, plant: Plant, watch: Watch, *, brief: bool = False) -> None:
        self._plant = plant
        self._watch = watch
        self._share = BRIEF if brief else 1.0
        self._pause = threading.Event()

    def provider_outage(self) -> None:
        """Every provider is away: one says 503, of another a gateway says so, and bills."""
        self._trouble("provider_outage", "frontier-* gateway status=504\n* 503", OUTAGE)

    def key_revoked(self) -> None:
        """Every provider refuses the key."""
        self._trouble("key_revoked", "* unauthorized", REVOKED)

    def _trouble(self, kind: str, line: str, seconds: float) -> None:
        troubles, since = self._plant.folder / "troubles", time.time()
        log = self._plant.folder / "sandbox.jsonl"
        seen = log.stat().st_size
        troubles.write_text(line, encoding="utf-8")
        self._pause.wait(seconds * self._share)
        until = time.monotonic() + MET
        while time.monotonic() < until and not set(TROUBLES[kind]) <= _faults(log, seen):
            self._pause.wait(0.2)
        troubles.unlink()
        self._watch.fault(kind, since=since)

    def flushall(self) -> None:
        """The broker forgets everything: messages, results, slots and buckets."""
        self._watch.fault("flushall")
        with redis.Redis.from_url(self._plant.broker_url) as client:
            client.flushall()

    def broker_restart(self) -> None:
        """The broker ends in order and comes back with all it knew."""
        with self._without_broker("broker_restart"):
            self._plant.server.stop()
            self._pause.wait(AWAY)
            self._plant.server.start()

    def broker_crash(self) -> None:
        """The broker is killed and comes back without its last second."""
        with self._without_broker("broker_crash"):
            self._plant.server.terminate()
            self._pause.wait(AWAY)
            self._plant.server.start()

    def broker_older_copy(self) -> None:
        """The broker comes back from a copy of its files that is some seconds old."""
        files = self._plant.folder / "broker"
        copy = self._plant.folder / "broker-older"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(files, copy, ignore=shutil.ignore_patterns("*.sock", "*.pid"))
        self._pause.wait(OLDER)
        with self._without_broker("broker_older_copy"):
            self._plant.server.terminate()
            for name in ("appendonlydir", "dump.rdb"):
                shutil.rmtree(files / name, ignore_errors=True)
                (files / name).unlink(missing_ok=True)
            shutil.copytree(copy, files, dirs_exist_ok=True)
            self._plant.server.start()

    def broker_black_hole(self) -> None:
        """The broker is stopped: connections stand, and nobody answers."""
        with redis.Redis.from_url(self._plant.broker_url) as client:
            pid = int(client.info("server")["process_id"])
        with self._without_broker("broker_black_hole"):
            os.kill(pid, signal.SIGSTOP)
            try:
                self._pause.wait(BLACK_HOLE)
            finally:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def _without_broker(self, kind: str) -> Iterator[None]:
        self._watch.fault(kind)
        since = time.time()
        yield
        self._watch.fault("broker_back", since=since)

    def broker_connections(self) -> None:
        """Every connection to the broker is cut, again and again."""
        self._watch.fault("client_kill")
        until = time.monotonic() + CUTTING
        while time.monotonic() < until:
            with redis.Redis.from_url(self._plant.broker_url) as client:
                for kind in ("normal", "pubsub"):
                    client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            self._pause.wait(CUT_EVERY)

    def database_connections(self) -> None:
        """Every connection to PostgreSQL is cut, again and again."""
        self._watch.fault("terminate_backends")
        until = time.time() + CUTTING
        cut = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with (
            self._watch.database_away(),
            psycopg.connect(self._plant.ledger_url, autocommit=True) as connection,
        ):
            while time.time() < until:
                connection.execute(cut)
                self._pause.wait(CUT_EVERY)

    def database_restart(self) -> None:
        """PostgreSQL stops as in a crash and comes back."""
        self._watch.fault("database_restart")
        with self._watch.database_away():
            self._plant.restart_database()

    def migration(self) -> None:
        """The ledger is migrated under load: at its newest revision, nothing may stand still."""
        began = time.monotonic()
        done = subprocess.run(
            [Path(sys.executable).with_name("tierqueue"), "migrate"],
            env=self._plant.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=MIGRATION,
        )
        if done.returncode:
            raise RuntimeError(f"the ledger could not be migrated under load:\n{done.stderr}")
        self._watch.fault("migration", seconds=round(time.monotonic() - began, 3))


def _faults(log: Path, seen: int) -> set[str | None]:
    """The faults of the calls in the sandbox's log behind its first ``seen`` bytes."""
    with log.open("rb") as lines:
        lines.seek(seen)
        return {json.loads(line)["fault"] for line in lines if line.endswith(b"\n")}
