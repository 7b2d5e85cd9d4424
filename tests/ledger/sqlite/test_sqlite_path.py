"""Where a SQLite ledger cannot be, each with what to do about it."""

import sqlite3
from pathlib import Path

import pytest

from tierqueue.ledger.sqlite.path import check_path
from tierqueue.router.errors import Misconfigured


def test_a_new_file_an_empty_one_and_a_database_can_be_the_ledger(tmp_path: Path) -> None:
    check_path(tmp_path / "new.db")
    (tmp_path / "empty.db").touch()
    check_path(tmp_path / "empty.db")
    with sqlite3.connect(tmp_path / "there.db") as database:
        database.execute("CREATE TABLE t (c)")
    database.close()
    check_path(tmp_path / "there.db")


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database", encoding="utf-8")
    for path, why in (
        (tmp_path, "it is a folder: name a file in it"),
        (tmp_path / "gone" / "ledger.db", "there is no folder"),
        (Path("/dev/null"), "it is no regular file"),
        (tmp_path / "notes.txt", "a file of another kind"),
    ):
        with pytest.raises(Misconfigured, match=f"TIERQUEUE_LEDGER_URL: .*{why}"):
            check_path(path)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "not a database"
