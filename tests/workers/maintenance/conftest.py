"""Somebody's table, a file whose rows go there, and a job of documents."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from tests.tasks.producer import Producer
from tests.workers.maintenance.document_job import Job
from tests.workers.maintenance.sunk import TICKETS, run


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    return producer_to(ledger_url)


@pytest.fixture
def helpdesk(
    request: pytest.FixtureRequest,
    ledger_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Engine]:
    """Somebody's table, in a database of the ledger's own kind."""
    address = f"sqlite:///{tmp_path / 'helpdesk.db'}"
    if ledger_url.startswith("postgresql"):
        address = request.getfixturevalue("postgresql").empty_database()
        address = address.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(address, poolclass=NullPool)
    run(
        engine,
        "CREATE TABLE tickets (id INTEGER PRIMARY KEY, output_label TEXT, output_confidence"
        " INTEGER, error TEXT)",
    )
    monkeypatch.setenv("HELPDESK", address)
    yield engine
    engine.dispose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text(TICKETS, encoding="utf-8")
    return path


@pytest.fixture
def job(producer: Producer, tmp_path: Path) -> Job:
    """No job of documents yet."""
    return Job(producer, tmp_path / "documents.jsonl")
