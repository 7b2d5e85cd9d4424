"""The rows of a query as a source."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.tasks.files.written import values
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.opening import open_source
from tierqueue.tasks.files.source import Reading

TICKETS = Path("env:TICKETS_URL")


@pytest.fixture(autouse=True)
def _database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tickets.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE tickets (id INTEGER, body TEXT)")
        database.executemany("INSERT INTO tickets VALUES (?, ?)", [(1, "My card"), (2, None)])
    monkeypatch.setenv("TICKETS_URL", f"sqlite:///{path}")


def test_a_query_is_a_source_of_typed_rows() -> None:
    work = open_source(TICKETS, Reading(query="SELECT * FROM tickets ORDER BY id"))
    assert (work.name, work.columns, work.total) == ("env:TICKETS_URL", ("id", "body"), 2)
    assert values(work) == [{"id": 1, "body": "My card"}, {"id": 2, "body": None}]
    assert work.format.kind == "jsonl"


@pytest.mark.parametrize(
    ("path", "query", "complaint"),
    [
        ("env:TICKETS_URL", None, "say which rows with --query"),
        ("env:NOWHERE_URL", "SELECT 1", "the environment has no NOWHERE_URL"),
        ("env:TICKETS_URL", "SELECT * FROM tickets WHERE id > 9", "the query has no rows"),
        ("env:TICKETS_URL", "SELECT id, id FROM tickets", "'id' stands there twice"),
        ("postgresql://me:secret@host/db", "SELECT 1", "say env:NAME instead"),
        ("tickets.csv", "SELECT 1", "--query asks a database"),
    ],
)
def test_what_cannot_be_asked_is_refused(path: str, query: str | None, complaint: str) -> None:
    with pytest.raises(InvalidItem, match=complaint) as said:
        open_source(Path(path), Reading(query=query))
    assert "secret" not in said.value.message
