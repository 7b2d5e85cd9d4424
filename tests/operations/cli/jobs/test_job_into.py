"""``tierqueue job submit --into``: rows that go back into a table, as the commands say it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.operations.cli.command import Command
from tests.tasks.jobs.answered import answer
from tierqueue.ledger.results import sinks
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import sinks as table
from tierqueue.operations.cli.output import job_progress
from tierqueue.tasks.app import TierqueueApp, app
from tierqueue.workers.maintenance.job_sinks import JobSinks

WORDS = ("--task", "tierqueue.classify", "--set", "labels=a,b")


@pytest.fixture
def helpdesk(tmp_path: Path) -> Path:
    """Somebody's table."""
    path = tmp_path / "helpdesk.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE tickets (id INTEGER PRIMARY KEY, output_label TEXT)")
    return path


def test_a_job_whose_rows_go_back_says_how_many_have(
    tierqueue: Command,
    ledger: Ledger,
    helpdesk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,text\n1,x\n2,y\n", encoding="utf-8")
    words = ("job", "submit", str(path), *WORDS, "--column", "text")
    into = ("--into", "env:HELPDESK", "--table", "tickets", "--key", "id")
    assert "--table TABLE" in tierqueue.complaint(*words, *into[:2])
    assert "--key and --prefix" in tierqueue.complaint(*words, *into[4:])
    status, out, err = tierqueue.run(*words, *into, "--json")
    assert (status, "not set here" in err) == (0, True)
    job_id = json.loads(out)["job"]
    told = tierqueue.json("job", "show", job_id)
    assert (told["ended"], told["sink"]["written"], told["sink"]["error"]) == (0, 0, None)
    answer(ledger, lambda _: {"label": "a"})
    with ledger.write() as connection:
        sinks.note(connection, job_id, written=1, error="OperationalError", failed_at=1, tries=2)
    said = tierqueue("job", "show", job_id)
    assert "1 rows written into tickets (env:HELPDESK), failing: OperationalError" in said
    _, out, err = tierqueue.run("job", "watch", job_id)
    assert "failing: OperationalError" in out
    assert "failing: OperationalError" in err


def test_a_file_with_a_key_twice_fills_no_table(
    tierqueue: Command,
    ledger: Ledger,
    helpdesk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,text\n1,x\n1,y\n", encoding="utf-8")
    monkeypatch.setenv("HELPDESK", f"sqlite:///{helpdesk}")
    job_id = tierqueue.json("job", "submit", str(path), *WORDS, "--column", "text")["job"]
    answer(ledger, lambda said: {"label": said["text"]})
    into = ("--into", "env:HELPDESK", "--table", "tickets", "--key", "id")
    assert "line 2 and line 3" in tierqueue.complaint("job", "results", job_id, *into)
    with closing(sqlite3.connect(helpdesk)) as connection:
        assert connection.execute("SELECT * FROM tickets").fetchall() == []


def test_a_variable_that_is_not_there_is_said_with_what_to_do(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,text\n1,x\n", encoding="utf-8")
    into = ("--into", "env:HELPDSEK", "--table", "tickets", "--key", "id")
    ended, _, err = tierqueue.run("job", "submit", str(path), *WORDS, "--column", "text", *into)
    assert ended == 0
    assert "note: env:HELPDSEK is not set here" in err
    assert "tierqueue job cancel" in err


def test_a_watch_ends_once_the_rows_are_written(
    tierqueue: Command,
    ledger: Ledger,
    helpdesk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,text\n1,x\n2,y\n", encoding="utf-8")
    monkeypatch.setenv("HELPDESK", f"sqlite:///{helpdesk}")
    words = ("job", "submit", str(path), *WORDS, "--column", "text")
    job_id = tierqueue.json(*words, "--into", "env:HELPDESK", "--table", "tickets", "--key", "id")[
        "job"
    ]
    answer(ledger, lambda _: {"label": "a"})
    seen: list[int] = []

    def write(_: float) -> None:
        """A routing stage's tick, in place of the wait for it."""
        with closing(sqlite3.connect(helpdesk)) as connection:
            seen.extend(connection.execute("SELECT count(*) FROM tickets").fetchone())
        tick(app, ledger)

    monkeypatch.setattr(job_progress, "paused", write)
    status, out, _ = tierqueue.run("job", "watch", job_id)
    assert (status, seen[0]) == (0, 0)
    assert "0 rows written into tickets (env:HELPDESK); a routing stage writes" in out
    with closing(sqlite3.connect(helpdesk)) as connection:
        assert connection.execute("SELECT id, output_label FROM tickets ORDER BY 1").fetchall() == [
            *((1, "a"), (2, "a"))
        ]


def tick(app: TierqueueApp, ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(update(table).where(table.c.look_at.is_not(None)).values(look_at=0))
    JobSinks(app.installation.ledger).one()
