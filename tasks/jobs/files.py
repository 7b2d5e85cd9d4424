"""Files of work, read row by row in constant memory: CSV with a header, and JSON lines.

What is wrong with a whole file (not UTF-8, empty, another separator, an open quote) is found by
``measure`` before anything is committed; what is wrong with one row is that row's own affair.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tierqueue.router.errors import InvalidItem

_LONGEST_FIELD = 10_000_000
"""Characters of one CSV field; the module's own 131,072 are fewer than a long document has."""

_OTHER_SEPARATORS = ";\t|"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its ``index`` from 0, the line it ends on, and its values or why it has none."""

    index: int
    line: int
    values: dict[str, Any] | None
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class WorkFile:
    """A file that was measured: how many rows it has, and its columns (CSV only)."""

    path: Path
    total: int
    columns: tuple[str, ...] | None

    def rows(self) -> Iterator[Row]:
        """Every row, in the file's order."""
        with _opened(self.path) as file:
            if self.columns is None:
                yield from _json_rows(file)
            else:
                yield from _csv_rows(file, self.columns)


def measure(path: Path) -> WorkFile:
    """Read a file once from end to end; raises ``InvalidItem`` where it cannot be a job."""
    kind = path.suffix.lower()
    if kind not in (".csv", ".jsonl", ".ndjson"):
        raise InvalidItem(f"{path}: a job is a .csv or a .jsonl file")
    if not path.is_file():
        raise InvalidItem(
            f"{path} is not {'a regular' if path.exists() else 'there: no such'} file"
        )
    line = 0
    columns: tuple[str, ...] | None = None
    total = 0
    try:
        with _opened(path) as file:
            if kind == ".csv":
                reader = _reader(file)
                columns = _header(path, next(reader, None))
                for record in reader:
                    line = reader.line_num
                    total += bool(record)
            else:
                for text in file:
                    line += 1
                    total += not text.isspace()
    except UnicodeDecodeError:
        raise InvalidItem(f"{path} is not UTF-8 text: see line {_undecodable(path)}") from None
    except csv.Error as error:
        raise InvalidItem(f"{path} is not CSV: {error} (after line {line})") from None
    except OSError as error:
        raise InvalidItem(f"cannot read {path}: {error.strerror}") from None
    if not total:
        raise InvalidItem(f"{path} has no rows")
    return WorkFile(path, total, columns)


def _undecodable(path: Path) -> int:
    """The first line that is not UTF-8."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                raw.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _opened(path: Path) -> IO[str]:
    # The csv module wants the line ends as they are; a byte order mark is no part of a name.
    return path.open(encoding="utf-8-sig", newline="" if path.suffix.lower() == ".csv" else None)


def _reader(file: IO[str]) -> Any:
    csv.field_size_limit(_LONGEST_FIELD)
    # Strict, because an open quote would otherwise swallow the rest of the file in silence.
    return csv.reader(file, strict=True)


def _header(path: Path, header: Sequence[str] | None) -> tuple[str, ...]:
    if not header:
        raise InvalidItem(f"{path} is empty: its first line names the columns")
    if len(header) == 1 and (
        used := [separator for separator in _OTHER_SEPARATORS if separator in header[0]]
    ):
        raise InvalidItem(f"{path}: its columns are separated by {used[0]!r}, not by commas")
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise InvalidItem(f"{path}: the column {min(twice)!r} stands there twice")
    return tuple(header)


def _csv_rows(file: IO[str], columns: tuple[str, ...]) -> Iterator[Row]:
    reader = _reader(file)
    next(reader)
    index = 0
    wanted = len(columns)
    for record in reader:
        if not record:
            continue
        if len(record) == wanted:
            yield Row(index, reader.line_num, dict(zip(columns, record, strict=True)))
        else:
            wrong = f"{len(record)} fields, the header has {wanted}"
            yield Row(index, reader.line_num, None, wrong)
        index += 1


def _json_rows(file: IO[str]) -> Iterator[Row]:
    index = 0
    for line, text in enumerate(file, start=1):
        if text.isspace():
            continue
        try:
            values = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            why = getattr(error, "msg", None) or str(error)
            yield Row(index, line, None, f"not JSON: {why}")
        else:
            if isinstance(values, dict):
                yield Row(index, line, values)
            else:
                yield Row(index, line, None, "not a JSON object")
        index += 1


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
