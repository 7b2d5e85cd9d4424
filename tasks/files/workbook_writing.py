"""Rows given back as a spreadsheet, written row by row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from math import isfinite
from typing import IO, Any

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.extras import needed
from tierqueue.tasks.files.plain import json_text, plain_value
from tierqueue.tasks.files.source import Format

_MOST_ROWS = 1_048_576
_LONGEST = 32_767
"""Characters of one cell: a longer one makes a file that Excel repairs by dropping it."""

_EXACT = 10**15
"""Whole numbers from here on are text: a spreadsheet keeps fifteen digits of a number."""

_FIRST_YEAR = 1900
"""Of what a spreadsheet has as days: earlier ones are text."""

_CUT = " … [cut: {:,} characters]"


@contextmanager
def written(
    file: IO[bytes], form: Format, columns: Sequence[str], _added: frozenset[str]
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What writes rows into one sheet; every text is text, and no formula."""
    openpyxl = needed("openpyxl", "results as .xlsx")
    cells = needed("openpyxl.cell", "results as .xlsx")
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(form.sheet or "results")
    lines = 1

    def cell(value: Any) -> Any:
        if isinstance(value, dict | list | tuple):
            value = json_text(value)
        elif _is_no_cell(value):
            value = str(plain_value(value))
        if not isinstance(value, str):
            return value
        said = cells.cell.ILLEGAL_CHARACTERS_RE.sub("\ufffd", value)
        said = said.encode("utf-8", "replace").decode("utf-8")
        if len(said) > _LONGEST:
            told = _CUT.format(len(said))
            said = said[: _LONGEST - len(told)] + told
        made = cells.WriteOnlyCell(sheet, said)
        made.data_type = "s"
        return made

    def write(row: Mapping[str, Any]) -> None:
        nonlocal lines
        lines += 1
        if lines > _MOST_ROWS:
            raise InvalidItem(f"a sheet holds {_MOST_ROWS:,} rows: write .csv, .jsonl or .parquet")
        sheet.append([cell(row.get(name)) for name in columns])

    sheet.append([cell(name) for name in (*form.header, *columns[len(form.header) :])])
    yield write
    book.save(file)


def _is_no_cell(value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int):
        return abs(value) >= _EXACT
    if isinstance(value, float):
        return not isfinite(value)
    if isinstance(value, date) and value.year < _FIRST_YEAR:
        return True
    if isinstance(value, datetime | time):
        return value.tzinfo is not None
    return not isinstance(value, date | timedelta)
