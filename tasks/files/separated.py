"""CSV: rows of cells in any usual separator, with the names of the columns in the first row."""

import csv
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files import text
from tierqueue.tasks.files.columns import named
from tierqueue.tasks.files.source import Format, Reading, Source, SourceRow

_LONGEST_CELL = 10_000_000
"""Characters of one cell; the module's own 131,072 are fewer than a long document has."""

_SEPARATORS = (",", ";", "\t", "|")
_NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_SPOKEN = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

_ROWS_READ = 50
"""Rows a separator is found out from."""

_SAMPLE = 4_000_000
"""Characters that are read for that, and the line that goes beyond."""


def read(path: Path, reading: Reading) -> Source:
    """A CSV file, read once to its end; raises ``InvalidItem`` where it cannot be a job."""
    encoding = text.encoding_of(path, reading.encoding)
    stated = None if reading.separator is None else _stated_separator(reading.separator)
    notes = [f"read as {encoding.name}"] if encoding.guessed else []
    with _lines(path, encoding.name) as (file, line_end, excel):
        separator = stated or excel or _likely(_beginning(file, path))
    if stated is None and excel is None and separator != ",":
        notes.append(f"separated by {_SPOKEN[separator]}")
    header, total = _measured(path, encoding.name, separator)
    form = Format("csv", encoding.name, separator, line_end, header)
    columns = named(path, header)
    return Source(path.name, form, columns, total, lambda: _rows(path, form, columns), tuple(notes))


@contextmanager
def _lines(path: Path, encoding: str) -> Iterator[tuple[IO[str], str, str | None]]:
    """The file behind a first line ``sep=;``, its line end, and the separator that line says."""
    # The csv module wants the line ends as they are.
    with text.reading(path, encoding, newline="") as file:
        first = next(text.lines(file, path), "")
        line_end = next((end for end in ("\r\n", "\n", "\r") if first.endswith(end)), "\n")
        named = first.rstrip("\r\n")
        excel = named[4:] if len(named) == 5 and named.lower().startswith("sep=") else None
        if excel is None:
            file.seek(0)
        yield file, line_end, excel


def _beginning(file: IO[str], path: Path) -> Iterator[str]:
    left = _SAMPLE
    for line in itertools.islice(text.lines(file, path), _ROWS_READ * 20):
        yield line
        left -= len(line)
        if left < 0:
            return


def _reader(file: Iterator[str], separator: str) -> Any:
    csv.field_size_limit(_LONGEST_CELL)
    # Strict, because an open quote would otherwise swallow the rest of the file in silence.
    return csv.reader(file, delimiter=separator, strict=True)


def _stated_separator(stated: str) -> str:
    separator = _NAMED.get(stated.lower(), stated)
    if len(separator) != 1 or separator in "\r\n\"'":
        raise InvalidItem(f"{stated!r} is no separator: say one character, or tab")
    return separator


def _likely(lines: Iterator[str]) -> str:
    """The separator by which the first rows have most columns, and all of them as many."""
    sample = list(lines)
    best, most = ",", 1
    for separator in _SEPARATORS:
        widths: list[int] = []
        try:
            records = itertools.islice(_reader(iter(sample), separator), _ROWS_READ)
            widths.extend(len(record) for record in records if record)
        except csv.Error:
            pass  # an open quote at the end of the sample, or another file's: the rows before count
        if widths and widths[0] > most and widths.count(widths[0]) * 2 > len(widths):
            best, most = separator, widths[0]
    return best


def _measured(path: Path, encoding: str, separator: str) -> tuple[tuple[str, ...], int]:
    line = 0
    try:
        with _lines(path, encoding) as (file, _, _):
            reader = _reader(text.lines(file, path), separator)
            records = (record for record in reader if record)
            header: Sequence[str] | None = next(records, None)
            if not header:
                raise InvalidItem(f"{path} is empty: its first line names the columns")
            line = reader.line_num
            total = 0
            for _ in records:
                line = reader.line_num
                total += 1
    except csv.Error as error:
        open_quote = " (a quotation mark is never closed)" * ("unexpected end" in str(error))
        raise InvalidItem(f"{path} is not CSV: {error} after line {line}{open_quote}") from None
    if not total:
        raise InvalidItem(f"{path} has no rows")
    return tuple(header), total


def _rows(path: Path, form: Format, columns: tuple[str, ...]) -> Iterator[SourceRow]:
    with _lines(path, form.encoding) as (file, _, excel):
        reader = _reader(text.lines(file, path), form.separator)
        before = 0 if excel is None else 1
        records = (record for record in reader if record)
        try:
            next(records, None)
            for number, record in enumerate(records):
                place = f"line {reader.line_num + before}"
                values = dict(zip(columns, record, strict=False))
                yield SourceRow(number, values, place, _wrong(record, len(columns)))
        except csv.Error:
            raise InvalidItem(f"{path} changed while it was read") from None


def _wrong(record: Sequence[str], wanted: int) -> str | None:
    if len(record) != wanted:
        return f"{len(record)} fields, the header has {wanted}"
    if any("\0" in cell for cell in record):
        return "it holds a NUL character, which no text has: it may be no text file"
    return None
