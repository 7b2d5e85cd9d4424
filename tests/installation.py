"""A producer's process, and real Celery workers beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.fork_server import ForkServer
from tests.operations.cli.command import Command
from tests.tasks.producer import Producer, Worker
from tierqueue.ledger.session import Ledger
from tierqueue.tasks.app import app
from tierqueue.tasks.broker.wakes import Wakes
from tierqueue.tasks.installation import Installation


def _hang_up(celery: Celery) -> None:
    """Results that are collected after the broker has stopped have nothing to unsubscribe from."""
    consumer = celery.backend.result_consumer
    consumer.stop()
    consumer._pubsub = None
    consumer.subscribed_to.clear()


def _policy(folder: Path, text: str) -> Path:
    path = folder / "tierqueue.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Starts worker processes that have imported the product already."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def producer_to(
    valkey: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Producer]]:
    """Makes this process a producer on a ledger of its URL."""
    monkeypatch.setenv("TIERQUEUE_BROKER_URL", valkey.url)
    monkeypatch.setenv(
        "TIERQUEUE_POLICY", str(_policy(tmp_path, 'default_sensitivity = "internal"\n'))
    )
    opened: list[Ledger] = []
    # On a machine that is busy with other tests this process may stand still.
    installation = Installation(app, idle_writes_seconds=60.0)
    monkeypatch.setattr(app, "installation", installation)

    def on(url: str) -> Producer:
        monkeypatch.setenv("TIERQUEUE_LEDGER_URL", url)
        app.conf.update(broker_url=valkey.url, result_backend=valkey.url)
        # A command that ran before, without a broker, may have made one that asks another.
        app._backend_cache = None
        app._local.__dict__.pop("backend", None)
        opened.append(app.installation.ledger)
        return Producer(app, app.installation.ledger)

    yield on
    installation.close()
    _hang_up(app)
    for ledger in opened:
        ledger.close()


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], sqlite_url: str) -> Producer:
    """A producer on a fresh SQLite ledger."""
    return producer_to(sqlite_url)


@pytest.fixture
def stranger(valkey: Any) -> Iterator[Celery]:
    """A service that has only Celery."""
    only_celery = Celery("stranger", broker=valkey.url, backend=valkey.url, set_as_current=False)
    yield only_celery
    _hang_up(only_celery)
    only_celery.backend.client.connection_pool.disconnect()
    only_celery.close()


@pytest.fixture
def intake(
    forks: ForkServer, valkey: Any, producer: Producer, sqlite_url: str, tmp_path: Path
) -> Iterator[Worker]:
    """The routing stage's intake as a real process on the producer's ledger."""
    worker = Worker(
        forks,
        "intake",
        "tests.tasks.intake_app",
        "route",
        tmp_path / "intake.log",
        {"TIERQUEUE_LEDGER_URL": sqlite_url, "TIERQUEUE_BROKER_URL": valkey.url},
    )
    yield worker
    worker.stop()


@pytest.fixture
def foreign(forks: ForkServer, valkey: Any, tmp_path: Path) -> Iterator[Worker]:
    """Another team's worker as a real process."""
    worker = Worker(
        forks,
        "foreign",
        "tests.tasks.foreign_app",
        "foreign",
        tmp_path / "foreign.log",
        {"FOREIGN_BROKER": valkey.url},
    )
    yield worker
    worker.stop()


@pytest.fixture
def command(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[[str], Command]]:
    """The command on the ledger of a URL, under the test module's ``POLICY``, else an empty one."""
    _policy(tmp_path, getattr(request.module, "POLICY", ""))
    monkeypatch.chdir(tmp_path)
    opened: list[Installation] = []

    def on(url: str) -> Command:
        monkeypatch.setenv("TIERQUEUE_LEDGER_URL", url)
        opened.append(installation := Installation(app))
        installation.wakes = Wakes(lambda: None)
        monkeypatch.setattr(app, "installation", installation)
        return Command(capsys)

    yield on
    for installation in opened:
        installation.close()


@pytest.fixture
def tierqueue(command: Callable[[str], Command], ledger_url: str) -> Command:
    """The command on a fresh ledger, on either database."""
    return command(ledger_url)
