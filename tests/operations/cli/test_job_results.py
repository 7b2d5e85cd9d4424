"""``tierqueue job results``: files of other kinds than text, there and back."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.operations.cli.command import Command
from tests.tasks.jobs.answered import answer
from tierqueue.ledger.session import Ledger
from tierqueue.tasks.app import app

WORDS = ("--task", "tierqueue.classify", "--set", "labels=a,b")


@pytest.fixture(autouse=True)
def _the_ledger_is_closed(tierqueue: Command) -> Iterator[None]:
    yield
    if "ledger" in app._made:
        app._made["ledger"].close()


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
