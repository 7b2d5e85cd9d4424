"""Rows given back in the format they came in, with columns added."""

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from tierqueue.tasks.files import parquet, workbook_writing
from tierqueue.tasks.files.plain import json_text, plain_value
from tierqueue.tasks.files.source import Format

Write = Callable[[Mapping[str, Any]], None]
"""Takes one row, by column; a column that is not in it is empty."""

_FORMULA = tuple("=+-@\t\r")


@contextmanager
def writer(
    file: IO[bytes], form: Format, columns: Sequence[str], added: Collection[str]
) -> Iterator[Write]:
    r"""What writes rows into ``file``, in the source's format, separator and encoding.

    ``columns`` are all columns in order; those ``added`` hold what models said: there a text that
    a spreadsheet would take for a formula stands behind an apostrophe in CSV. A character that the
    source's encoding has not is written as an escape such as ``\u20ac``.
    """
    with _KINDS[form.kind](file, form, columns, frozenset(added)) as write:
        yield write


@contextmanager
def _json_lines(
    file: IO[bytes], form: Format, columns: Sequence[str], _added: frozenset[str]
) -> Iterator[Write]:
    with _text(file, form) as lines:

        def write(row: Mapping[str, Any]) -> None:
            ordered = {name: row[name] for name in columns if name in row}
            # A row of JSON lines may have keys that the first row has not.
            lines.write(json_text({**ordered, **row}) + "\n")

        yield write


@contextmanager
def _separated(
    file: IO[bytes], form: Format, columns: Sequence[str], added: frozenset[str]
) -> Iterator[Write]:
    with _text(file, form) as lines:
        rows = csv.writer(lines, delimiter=form.separator, lineterminator=form.line_end)
        # A name that is empty in the source is empty here.
        rows.writerow([*form.header, *columns[len(form.header) :]])

        def write(row: Mapping[str, Any]) -> None:
            rows.writerow([_cell(row.get(name), guarded=name in added) for name in columns])

        yield write


@contextmanager
def _text(file: IO[bytes], form: Format) -> Iterator[IO[str]]:
    lines = io.TextIOWrapper(
        file, encoding=form.encoding, errors="backslashreplace", newline="", write_through=False
    )
    try:
        yield lines
        lines.flush()
    finally:
        lines.detach()


def _cell(value: Any, *, guarded: bool) -> Any:
    if isinstance(value, dict | list):
        return json_text(value)
    if guarded and isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value if value is None or isinstance(value, int | float) else plain_value(value)


_KINDS = {
    "csv": _separated,
    "jsonl": _json_lines,
    "parquet": parquet.written,
    "xlsx": workbook_writing.written,
}
