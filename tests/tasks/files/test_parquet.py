"""Parquet: the types of the source are kept, and the whole file never stands in memory."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tasks.files.written import given_back, source, values
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.opening import open_source


def made(tmp_path: Path, table: Any, **how: Any) -> Path:
    path = tmp_path / "work.parquet"
    pq.write_table(table, path, **how)
    return path


TYPED = pa.table(
    {
        "id": pa.array([9_999_999_999_999_999, None, 3], pa.int64()),
        "text": pa.array(["a", "ü", None], pa.large_string()),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "money": pa.array([Decimal("1.50"), None, Decimal("2.00")], pa.decimal128(12, 2)),
        "day": pa.array([date(2026, 1, 2), None, None]),
        "at": pa.array([datetime(2026, 1, 2, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
        "exact": pa.array([1_767_312_000_000_000_001, None, 0], pa.timestamp("ns")),
        "labels": pa.array([["a", "b"], [], None]),
        "raw": pa.array([b"\x00\xff", None, b""]),
        "deep": pa.array([{"x": 1}, None, {"x": None}]),
        "small": pa.array([1, 2, None], pa.uint8()),
        "half": pa.array([0.5, None, 1.0], pa.float32()),
    }
)


def test_rows_are_read_with_their_types(tmp_path: Path) -> None:
    work = open_source(made(tmp_path, TYPED))
    assert (work.total, work.columns) == (3, tuple(TYPED.column_names))
    first = next(work.rows())
    assert first.place == "row 1"
    assert first.columns["id"] == 9_999_999_999_999_999
    assert first.columns["labels"] == ["a", "b"]
    assert first.columns["exact"].endswith(".000000001")


def test_a_table_comes_back_as_it_was_with_columns_added(tmp_path: Path) -> None:
    work = open_source(made(tmp_path, TYPED))
    added = ["label", "score", "cost", "deep2"]
    rows = [
        {
            **row,
            "label": None if n == 0 else "x\ud83d",
            "score": n or 0.5,
            "cost": n,
            "deep2": {"n": n},
        }
        for n, row in enumerate(values(work))
    ]
    back = pq.read_table(io.BytesIO(given_back(work.format, [*work.columns, *added], rows, added)))
    assert back.select(TYPED.column_names).equals(TYPED)
    assert back.schema.field("id").type == pa.int64()
    assert [str(back.schema.field(name).type) for name in added] == [
        *("string", "double", "int64", "string"),
    ]
    assert back.column("label").to_pylist() == [None, "x?", "x?"]
    assert back.column("deep2").to_pylist()[2] == '{"n": 2}'


def test_a_column_whose_type_changes_later_says_so(tmp_path: Path) -> None:
    work = open_source(made(tmp_path, pa.table({"n": list(range(2_000))})))
    rows = [{"n": n, "score": 1 if n < 1_500 else "much"} for n in range(2_000)]
    with pytest.raises(InvalidItem, match="column 'score' is int64 by its first rows"):
        given_back(work.format, ["n", "score"], rows, ["score"])


def test_a_whole_number_of_an_answer_loses_no_digits(tmp_path: Path) -> None:
    work = open_source(made(tmp_path, pa.table({"n": [1, 2]})))
    long = 2**53 + 1
    rows: list[dict[str, Any]] = [
        {"n": 1, "huge": 2**63, "mixed": 0.5, "exact": long},
        {"n": 2, "huge": 1, "mixed": long, "exact": 2},
    ]
    added = ["huge", "mixed", "exact"]
    back = pq.read_table(io.BytesIO(given_back(work.format, ["n", *added], rows, added)))
    assert back.column("huge").to_pylist() == [str(2**63), "1"]
    assert back.column("mixed").to_pylist() == ["0.5", str(long)]
    assert back.column("exact").to_pylist() == [long, 2]


def test_one_that_comes_after_a_column_of_fractions_is_refused(tmp_path: Path) -> None:
    work = open_source(made(tmp_path, pa.table({"n": list(range(2_000))})))
    rows = [{"n": n, "score": 0.5 if n < 1_500 else 2**53 + 1} for n in range(2_000)]
    with pytest.raises(InvalidItem, match=r"column 'score' is double .* would lose digits"):
        given_back(work.format, ["n", "score"], rows, ["score"])


def test_a_great_file_is_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    text = "".join(chr(97 + n * 7 % 26) for n in range(10_000))
    table = pa.table({"text": [f"{n}{text}" for n in range(8_000)]})
    path = made(tmp_path, table, row_group_size=8_000, use_dictionary=False)
    del table
    work = open_source(path)
    before = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - before for _ in work.rows())
    assert most < 30_000_000


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (pa.table({"text": pa.array([], pa.string())}), "has no rows"),
        (pa.Table.from_arrays([pa.array([1])] * 2, ["a", "a"]), "'a' stands there twice"),
    ],
)
def test_what_cannot_be_a_job_is_refused(tmp_path: Path, table: Any, complaint: str) -> None:
    with pytest.raises(InvalidItem, match=complaint):
        open_source(made(tmp_path, table))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidItem, match="cannot be read as Parquet"):
        source(tmp_path, "text\nhello\n", "work.parquet")
