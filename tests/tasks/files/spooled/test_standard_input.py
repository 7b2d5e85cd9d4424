"""Standard input as a source."""

import gc
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tasks.files.written import values
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.opening import open_source
from tierqueue.tasks.files.source import Source

PARQUET = io.BytesIO()
pq.write_table(pa.table({"text": ["a"]}), PARQUET)


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> Source:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    return open_source(Path("-"))


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"text\na\n", "csv"), (b'{"text": "a"}\n', "jsonl"), (PARQUET.getvalue(), "parquet")],
)
def test_what_it_is_is_told_by_how_it_begins(
    monkeypatch: pytest.MonkeyPatch, content: bytes, kind: str
) -> None:
    work = piped(monkeypatch, content)
    assert (work.name, work.notes) == ("standard input", (f"read as {kind}",))
    assert values(work) == values(work) == [{"text": "a"}]


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    work = piped(monkeypatch, b"text\na\n")
    assert len(list(tmp_path.iterdir())) == 1
    del work
    gc.collect()
    with pytest.raises(InvalidItem, match="standard input is empty"):
        piped(monkeypatch, b"")
    gc.collect()
    assert list(tmp_path.iterdir()) == []
