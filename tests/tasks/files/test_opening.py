"""Which reader a file has, and what is no source at all."""

import os
from pathlib import Path

import pytest

from tests.tasks.files.written import source, values
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.opening import open_source


def test_a_file_is_read_by_the_end_of_its_name(tmp_path: Path) -> None:
    assert values(source(tmp_path, "a\tb\n1\t2\n", "work.TSV")) == [{"a": "1", "b": "2"}]
    assert values(source(tmp_path, '{"a": 1}\n', "work.ndjson")) == [{"a": 1}]


def test_a_name_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidItem, match=r"a job is a folder or a file .csv, .*did you mean '.jsonl'"
    ):
        source(tmp_path, "{}\n", "work.json")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidItem, match="no such file"):
        open_source(tmp_path / "none.csv")


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InvalidItem, match="not a regular file"):
        open_source(tmp_path / "pipe.csv")
