"""JSON lines: what is read, and a line that is its own affair."""

from pathlib import Path

import pytest

from tests.tasks.files.written import source
from tierqueue.router.errors import InvalidItem


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_lines_are_read_and_empty_lines_skipped(tmp_path: Path, encoding: str) -> None:
    work = source(tmp_path, '{"text": "a"}\n\n{"text": "ü"}\n'.encode(encoding), "work.jsonl")
    assert (work.total, work.columns) == (2, ("text",))
    assert [(row.number, row.place, row.columns) for row in work.rows()] == [
        (0, "line 1", {"text": "a"}),
        (1, "line 3", {"text": "ü"}),
    ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{not json}", "not JSON: "),
        ("[1, 2]", "not a JSON object"),
        ('{"min_confidence": NaN}', "not JSON: NaN"),
        ('{"cost": 1e999}', "not JSON: 1e999 is a number beyond"),
        ("[" * 100_000, "not JSON: "),
    ],
)
def test_a_line_that_is_no_json_object_says_why(tmp_path: Path, line: str, wrong: str) -> None:
    (row,) = source(tmp_path, line, "work.jsonl").rows()
    assert row.columns == {}
    assert row.wrong is not None
    assert row.wrong.startswith(wrong)


def test_a_file_without_a_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidItem, match="has no rows"):
        source(tmp_path, "\n\n", "work.jsonl")
