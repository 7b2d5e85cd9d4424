"""Rows given back in the format they came in, with columns added."""

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from tierqueue.tasks.files.source import Format

Write = Callable[[Mapping[str, Any]], None]
"""Takes one row, by column; a column that is not in it is empty."""

_FORMULA = tuple("=+-@\t\r")

_UNWRITABLE = re.compile("[\ud800-\udfff\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What JSON may hold and a text file or a terminal does not take as it is."""


@contextmanager
def writer(
    file: IO[bytes], form: Format, columns: Sequence[str], added: Collection[str]
) -> Iterator[Write]:
    r"""What writes rows into ``file``, in the source's format, separator and encoding.

    ``columns`` are all columns in order; those ``added`` hold what models said: there a text that
    a spreadsheet would take for a formula stands behind an apostrophe. A character that the
    source's encoding has not is written as an escape such as ``\u20ac``.
    """
    with _KINDS[form.kind](file, form, columns, frozenset(added)) as write:
        yield write


def json_text(value: Any) -> str:
    """``value`` as JSON on one line that any file and any terminal takes."""
    said = json.dumps(value, ensure_ascii=False, default=str)
    return _UNWRITABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", said)


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
    return value


_KINDS = {"csv": _separated, "jsonl": _json_lines}
