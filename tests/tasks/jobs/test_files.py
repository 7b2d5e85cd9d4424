"""Files of work: what is read row by row, and what is refused before anything is read."""

from pathlib import Path

import pytest

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.jobs.files import measure


def file(tmp_path: Path, content: str | bytes, name: str = "work.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_csv_is_read_row_by_row_with_its_header_as_names(tmp_path: Path) -> None:
    work = measure(file(tmp_path, 'text,risk\nhello,internal\n"two\nlines",\n'))
    assert work.columns == ("text", "risk")
    assert work.total == 2
    assert [(row.index, row.line, row.values) for row in work.rows()] == [
        (0, 2, {"text": "hello", "risk": "internal"}),
        (1, 4, {"text": "two\nlines", "risk": ""}),
    ]


def test_a_row_with_too_few_fields_is_that_rows_own_affair(tmp_path: Path) -> None:
    work = measure(file(tmp_path, "text,risk\nhello\nagain,internal\n"))
    first, second = work.rows()
    assert (first.values, first.wrong) == (None, "1 fields, the header has 2")
    assert second.values == {"text": "again", "risk": "internal"}


def test_json_lines_are_read_and_empty_lines_skipped(tmp_path: Path) -> None:
    work = measure(file(tmp_path, '{"text": "a"}\n\n{"text": "b"}\n', "work.jsonl"))
    assert work.total == 2
    assert [(row.index, row.line, row.values) for row in work.rows()] == [
        (0, 1, {"text": "a"}),
        (1, 3, {"text": "b"}),
    ]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{not json}", "not JSON: "),
        ("[1, 2]", "not a JSON object"),
        ('{"min_confidence": NaN}', "not JSON: NaN"),
        ("[" * 100_000, "not JSON: "),
    ],
)
def test_a_line_that_is_no_json_object_says_why(tmp_path: Path, line: str, wrong: str) -> None:
    (row,) = measure(file(tmp_path, line, "work.jsonl")).rows()
    assert row.values is None
    assert row.wrong is not None
    assert row.wrong.startswith(wrong)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("work.csv", "", "is empty"),
        ("work.csv", "text\n", "has no rows"),
        ("work.jsonl", "\n\n", "has no rows"),
        ("work.csv", "text;risk\na;b\n", "separated by ';', not by commas"),
        ("work.csv", "text\trisk\na\tb\n", r"separated by '\\t', not by commas"),
        ("work.csv", "text,text\na,b\n", "'text' stands there twice"),
        ("work.csv", 'text\nfine\n"never closed\nmore\n', "is not CSV: unexpected end of data"),
        ("work.csv", b"text\nca\xe9\n", "is not UTF-8 text: see line 2"),
        ("work.csv", "text\nx\n".encode("utf-16"), "is not UTF-8"),
        ("work.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', "is not UTF-8"),
        ("work.xlsx", "text\nx\n", r"a job is a \.csv or a \.jsonl file"),
    ],
)
def test_a_file_that_cannot_be_a_job_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: str | bytes, complaint: str
) -> None:
    with pytest.raises(InvalidItem, match=complaint):
        measure(file(tmp_path, content, name))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidItem, match="no such file"):
        measure(tmp_path / "none.csv")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    with pytest.raises(InvalidItem, match="not a regular file"):
        measure(folder)


def test_a_byte_order_mark_is_no_part_of_a_columns_name(tmp_path: Path) -> None:
    work = measure(file(tmp_path, "text\nx\n".encode("utf-8-sig")))
    assert work.columns == ("text",)
    (row,) = measure(file(tmp_path, '{"a": 1}'.encode("utf-8-sig"), "work.jsonl")).rows()
    assert row.values == {"a": 1}
