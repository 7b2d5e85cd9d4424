"""``tierqueue job results``: files of other kinds than text, there and back."""

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from tests.fork_server import Fork, ForkServer
from tests.images import an_image
from tests.operations.cli.command import Command
from tests.tasks.jobs.answered import answer
from tests.waiting import until
from tierqueue.ledger.session import Ledger

WORDS = ("--task", "tierqueue.classify", "--set", "labels=a,b")


def test_a_spreadsheet_comes_back_as_one_and_as_parquet(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    book = openpyxl.Workbook()
    for row in (["id", "body", "day"], ["0012", "My card", date(2026, 1, 2)], [13, 404, None]):
        book.active.append(row)
    path = tmp_path / "tickets.xlsx"
    book.save(path)
    job_id = tierqueue.json("job", "submit", str(path), *WORDS, "--column", "body")["job"]
    assert answer(ledger, lambda said: {"label": "b" if said["text"] == "404" else "a"}) == 2
    status, _, _ = tierqueue.run("job", "results", job_id, "--to", str(tmp_path / "out.xlsx"))
    assert status == 0
    header, *rows = openpyxl.load_workbook(tmp_path / "out.xlsx").active.values
    assert header[:4] == ("id", "body", "day", "output_label")
    assert [row[:2] + row[3:4] for row in rows] == [("0012", "My card", "a"), (13, 404, "b")]
    tierqueue.run("job", "results", job_id, "--to", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text("utf-8").splitlines()[1].startswith("0012,My card,2026")


def test_parquet_comes_back_with_its_types(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    path, to = tmp_path / "tickets.parquet", tmp_path / "out.parquet"
    table = pa.table({"text": ["x", "y"], "n": pa.array([1, None], pa.int32())})
    pq.write_table(table, path)
    job_id = tierqueue.json("job", "submit", str(path), *WORDS, "--column", "text")["job"]
    answer(ledger, lambda said: {"label": "a", "confidence": 0.5})
    status, _, err = tierqueue.run("job", "results", job_id, "--to", str(to))
    assert (status, "2 rows: 2 succeeded" in err) == (0, True)
    back = pq.read_table(to)
    assert back.select(["text", "n"]).equals(table)
    assert back.column("output_confidence").to_pylist() == [0.5, 0.5]
    said = tierqueue.complaint("job", "results", job_id, "--without-source", "-o", str(to))
    assert "answers without their source are jsonl or csv" in said


def test_documents_come_back_as_json_lines_or_csv(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_text("My card", encoding="utf-8")
    (folder / "b.exe").write_bytes(b"MZ")
    told = tierqueue.json("job", "submit", str(folder), *WORDS)
    assert (told["total"], told["malformed"]) == (2, 1)
    answer(ledger, lambda said: {"label": "a"})
    to = tmp_path / "out.csv"
    tierqueue.run("job", "results", told["job"], "--to", str(to))
    header, first, second = to.read_text("utf-8").splitlines()
    assert header.startswith("file,text,output_label,error,")
    assert first.startswith("a.txt,My card,a,,gpu,")
    assert second.startswith('b.exe,,,"invalid: b.exe: a file .exe')


def test_a_folder_of_images_comes_back_by_its_names(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.png").write_bytes(an_image())
    (folder / "b.png").write_bytes(b"none")
    words = ("--task", "tierqueue.classify_image", "--set", "labels=a,b")
    told = tierqueue.json("job", "submit", str(folder), *words)
    assert (told["total"], told["malformed"]) == (2, 1)
    answer(ledger, lambda said: {"label": "a"})
    to = tmp_path / "out.csv"
    tierqueue.run("job", "results", told["job"], "--to", str(to))
    header, first, second = to.read_text("utf-8").splitlines()
    assert header.startswith("file,output_label,error,")
    assert first.startswith("a.png,a,,gpu,")
    assert second.startswith('b.png,,"invalid: b.png: ')


def test_another_part_of_a_file_is_another_run(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("Many words. " * 1_000, encoding="utf-8")
    whole = tierqueue.json("job", "submit", str(path), *WORDS)
    chunks = tierqueue.json("job", "submit", str(path), *WORDS, "--by", "chunk")
    assert (whole["total"], chunks["total"]) == (1, 2)
    assert whole["job"] != chunks["job"]


def test_the_rows_of_a_query_are_asked_again_and_given_back(
    tierqueue: Command, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "crm.db")) as database, database:
        database.execute("CREATE TABLE tickets (id INTEGER, body TEXT)")
        database.execute("INSERT INTO tickets VALUES (7, 'My card')")
    monkeypatch.setenv("CRM_URL", f"sqlite:///{tmp_path / 'crm.db'}")
    (tmp_path / "open.sql").write_text("SELECT * FROM tickets ORDER BY id", encoding="utf-8")
    asked = ("--query", f"@{tmp_path / 'open.sql'}", "--column", "body")
    job_id = tierqueue.json("job", "submit", "env:CRM_URL", *WORDS, *asked)["job"]
    answer(ledger, lambda said: {"label": "a"})
    status, out, _ = tierqueue.run("job", "results", job_id)
    assert status == 0
    (line,) = out.splitlines()
    assert json.loads(line)["id"] == 7
    assert json.loads(line)["output"] == {"label": "a"}


def test_what_is_followed_comes_row_by_row_to_the_last(
    tierqueue: Command, ledger: Ledger, tmp_path: Path
) -> None:
    path, to = tmp_path / "tickets.csv", tmp_path / "out.jsonl"
    path.write_text("text\nx\ny\nz\n", encoding="utf-8")
    job_id = tierqueue.json("job", "submit", str(path), *WORDS, "--column", "text")["job"]
    answering = threading.Thread(target=lambda: answer(ledger, lambda _: {"label": "a"}))
    answering.start()
    status, _, _ = tierqueue.run("job", "results", job_id, "--follow", "--to", str(to))
    answering.join()
    rows = [json.loads(line) for line in to.read_text("utf-8").splitlines()]
    assert status == 0
    assert [(row["text"], row["output"]["label"], row["error"]) for row in rows] == [
        (text, "a", None) for text in "xyz"
    ]
    assert "JSON lines" in tierqueue.complaint(
        "job", "results", job_id, "--follow", "--to", "a.csv"
    )


def test_answers_go_into_a_table_by_key_each_once(
    tierqueue: Command, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, there = tmp_path / "tickets.csv", tmp_path / "helpdesk.db"
    path.write_text("id,text\n1,x\n2,y\n", encoding="utf-8")
    with closing(sqlite3.connect(there)) as connection, connection:
        connection.execute("CREATE TABLE tickets (id INTEGER PRIMARY KEY, output_label TEXT)")
        connection.execute("INSERT INTO tickets (id) VALUES (1)")
    monkeypatch.setenv("HELPDESK", f"sqlite:///{there}")
    job_id = tierqueue.json("job", "submit", str(path), *WORDS, "--column", "text")["job"]
    answer(ledger, lambda _: {"label": "a"})
    into = ("job", "results", job_id, "--into", "env:HELPDESK")
    for _ in range(2):
        status, _, err = tierqueue.run(*into, "--table", "tickets", "--key", "id")
        assert (status, "left out" in err) == (0, True)
        with closing(sqlite3.connect(there)) as connection:
            found = connection.execute("SELECT * FROM tickets ORDER BY id").fetchall()
        assert found == [(1, "a"), (2, "a")]
    assert "takes --table" in tierqueue.complaint(*into, "--table", "tickets")
    assert "no table nowhere" in tierqueue.complaint(*into, "--table", "nowhere", "--key", "id")
    assert "env:NAME" in tierqueue.complaint(
        *into[:3], "--into", "sqlite:///x", "--table", "t", "--key", "id"
    )


ROWS, HALF = 600, 450


@pytest.fixture
def helpdesk(request: pytest.FixtureRequest, ledger_url: str, tmp_path: Path) -> Iterator[Engine]:
    """Somebody's table, in a database of the ledger's own kind."""
    address = f"sqlite:///{tmp_path / 'helpdesk.db'}"
    if ledger_url.startswith("postgresql"):
        address = request.getfixturevalue("postgresql").empty_database()
        address = address.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(address, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE tickets (id INTEGER PRIMARY KEY, output_label TEXT)"
        )
    yield engine
    engine.dispose()


def in_the_table(helpdesk: Engine) -> list[tuple[int, str | None]]:
    with helpdesk.connect() as connection:
        found = connection.exec_driver_sql("SELECT id, output_label FROM tickets ORDER BY id")
        return [(row[0], row[1]) for row in found]


def filling(forks: ForkServer, helpdesk: Engine, job_id: str, *more: str) -> Fork:
    """The command as a process of its own."""
    address = helpdesk.url.render_as_string(hide_password=False)
    words = ("job", "results", job_id, "--into", "env:HELPDESK", "--table", "tickets")
    return forks.start(
        ["tierqueue", *words, "--key", "id", *more],
        environ={**os.environ, "HELPDESK": address},
        output=os.devnull,
        folder=Path.cwd(),
    )


def killed(process: Fork) -> None:
    assert process.poll() is None
    process.kill()
    assert process.wait(60) == -signal.SIGKILL


@pytest.fixture
def tickets(tierqueue: Command, ledger: Ledger, tmp_path: Path) -> str:
    """A job whose rows have the answer of their number, as far as they have ended: the half."""
    path = tmp_path / "tickets.csv"
    path.write_text("id,text\n" + "".join(f"{n},t{n}\n" for n in range(ROWS)), encoding="utf-8")
    job_id = tierqueue.json("job", "submit", str(path), *WORDS, "--column", "text")["job"]
    assert answer(ledger, lambda said: {"label": said["text"]}, before=HALF) == HALF
    return str(job_id)


@pytest.mark.processes
def test_what_fills_a_table_is_killed_and_called_again_and_each_row_is_there_once(
    forks: ForkServer, ledger: Ledger, helpdesk: Engine, tickets: str
) -> None:
    first = filling(forks, helpdesk, tickets, "--follow")
    until(lambda: len(in_the_table(helpdesk)) >= 400)
    killed(first)
    assert len(in_the_table(helpdesk)) < ROWS
    answer(ledger, lambda said: {"label": said["text"]})
    again = filling(forks, helpdesk, tickets, "--follow")
    assert again.wait(120) == 0
    assert in_the_table(helpdesk) == [(n, f"t{n}") for n in range(ROWS)]


# Where somebody can hold up one row alone.
@pytest.mark.processes
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_what_is_killed_within_a_transaction_leaves_nothing_of_it(
    forks: ForkServer, ledger: Ledger, helpdesk: Engine, tickets: str
) -> None:
    answer(ledger, lambda said: {"label": said["text"]})
    with helpdesk.begin() as connection:
        connection.exec_driver_sql("INSERT INTO tickets (id) VALUES (300)")
    with helpdesk.begin() as holding:
        holding.exec_driver_sql("SELECT * FROM tickets WHERE id = 300 FOR UPDATE")
        first = filling(forks, helpdesk, tickets)
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        until(lambda: holding.exec_driver_sql(waits).scalar_one())
        # A transaction or more, by how long each took: all whole, and none of row 300's.
        whole = in_the_table(helpdesk)
        assert 201 <= len(whole) <= 301
        killed(first)
        assert in_the_table(helpdesk) == whole
    again = filling(forks, helpdesk, tickets)
    assert again.wait(120) == 0
    assert in_the_table(helpdesk) == [(n, f"t{n}") for n in range(ROWS)]
