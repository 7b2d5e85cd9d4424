"""Spreadsheets: the first sheet, or one by its name, with the columns' names in its first row."""

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, time
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.policy_errors import there_is_no
from tierqueue.tasks.files import zipped
from tierqueue.tasks.files.columns import named
from tierqueue.tasks.files.extras import needed
from tierqueue.tasks.files.source import Format, Reading, Source, SourceRow
from tierqueue.tasks.plural import count

_MOST_UNPACKED = 1_000_000_000
_MOST_MERGED = 100_000
_ENCRYPTED_OR_OLD = b"\xd0\xcf\x11\xe0"
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s+ref="([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})"')
_NO_VALUE = re.compile(
    rb"<(?:\w+:)?c(?P<of>\s[^>]*)?>\s*<(?:\w+:)?f(?:\s[^>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_LONGEST_TAG = 20_000
"""Bytes that a formula may have in a sheet's XML, escaped; Excel's own are of 8,192 characters."""

_BROKEN = (
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    SyntaxError,
    OverflowError,
    zipfile.BadZipFile,
)
"""What a reader of spreadsheets raises for XML that is none, or says what no sheet has."""

_EXACT = 2**53
"""Whole numbers from here on share a float with their neighbours."""


class _Inexact(str):
    """A number of which the sheet has lost digits: the text of those that are left."""

    __slots__ = ()


_Cells = Sequence[Any]
_Numbered = Iterator[tuple[int, _Cells]]


def read(path: Path, reading: Reading) -> Source:
    """A workbook's sheet, read once to its end; raises ``InvalidItem`` where it cannot be a job.

    A merged cell's value stands in every row it covers. Macros are never run, formulas are the
    values they had when the file was saved.
    """
    rows = (_xlsx if path.suffix.lower() in (".xlsx", ".xlsm") else _others)(path, reading.sheet)
    found = rows.numbered()
    _, header = next(found, (0, ()))
    while header and header[-1] is None:
        header = header[:-1]
    if not header:
        raise InvalidItem(f"{path}: sheet {rows.name!r} is empty: its first row names the columns")
    columns = named(path, header)
    total = inexact = 0
    first = ""
    for line, cells in found:
        total += 1
        for column, cell in enumerate(cells):
            if type(cell) is _Inexact:
                inexact += 1
                name = columns[column] if column < len(columns) else str(column + 1)
                first = first or f"row {line}, column {name}"
    if not total:
        raise InvalidItem(f"{path}: sheet {rows.name!r} has no rows")

    def again() -> Iterator[SourceRow]:
        numbered = rows.numbered()
        next(numbered)
        for number, (line, cells) in enumerate(numbered):
            values = dict(zip(columns, [*cells, *[None] * len(columns)], strict=False))
            beyond = any(cell is not None for cell in cells[len(columns) :])
            wrong = "it has cells beyond the last column that has a name" if beyond else None
            yield SourceRow(number, values, f"row {line}", wrong)

    header_names = tuple("" if name is None else str(name) for name in header)
    notes = [] if rows.note is None else [rows.note]
    if inexact:
        what = count(inexact, "number", "may have lost digits", "may have lost digits")
        notes.append(
            f"{what} in sheet {rows.name!r}, the first in {first}: a number there keeps fifteen, so"
            " make an id of more a text"
        )
    if reading.sheet is None and rows.sheets > 1:
        notes.append(f"sheet {rows.name!r}, the first of {rows.sheets}")
    return Source(
        path.name,
        Format("xlsx", header=header_names, sheet=rows.name),
        columns,
        total,
        again,
        tuple(notes),
    )


class _Sheet:
    """One sheet: its name, how many its workbook has, and its rows that are not empty."""

    def __init__(
        self,
        path: Path,
        name: str,
        sheets: int,
        rows: Callable[[], Iterator[_Numbered]],
        note: str | None = None,
    ) -> None:
        self._path = path
        self.note = note
        self.name = name
        self.sheets = sheets
        self._rows = contextmanager(rows)

    def numbered(self) -> _Numbered:
        """Every row with a value, and its number in the sheet, from 1."""
        try:
            with self._rows() as rows:
                for line, cells in rows:
                    plain = [_plain(cell) for cell in cells]
                    if any(cell is not None for cell in plain):
                        yield line, plain
        except _BROKEN as error:
            raise InvalidItem(f"{self._path} is no spreadsheet: {error}") from None


def _xlsx(path: Path, wanted: str | None) -> _Sheet:
    openpyxl = needed("openpyxl", f"{path} is a spreadsheet")
    with path.open("rb") as file:
        if file.read(4) == _ENCRYPTED_OR_OLD:
            raise InvalidItem(
                f"{path} is protected by a password, or an .xls by another name: save it as .xlsx"
                " without a password"
            )
    zipped.bounded(path, _MOST_UNPACKED)

    @contextmanager
    def opened() -> Iterator[Any]:
        try:
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
        except _BROKEN as error:
            raise InvalidItem(f"{path} is no spreadsheet: {error}") from None
        try:
            yield book
        finally:
            book.close()

    with opened() as book:
        sheets = [sheet.title for sheet in book.worksheets]
        visible = [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]
        name = _chosen(path, sheets, visible, wanted)
        member = book[name]._worksheet_path  # noqa: SLF001  # nobody else says it
        merged, uncomputed = _scanned(path, member)

    def rows() -> Iterator[_Numbered]:
        with opened() as book:
            sheet = book[name]
            sheet.reset_dimensions()  # what a file says of its size is not believed
            yield _filled(enumerate(sheet.iter_rows(values_only=True), start=1), merged)

    note = None
    if uncomputed:
        note = (
            f"{count(uncomputed, 'formula')} of sheet {name!r} have no value and are read as empty:"
            " open it in a spreadsheet program and save it"
        )
    return _Sheet(path, name, len(sheets), rows, note)


def _others(path: Path, wanted: str | None) -> _Sheet:
    """``.xls``, ``.xlsb`` and ``.ods``: read whole into memory, as their reader does."""
    calamine = needed("python_calamine", f"{path} is a spreadsheet")
    if path.suffix.lower() != ".xls":
        zipped.bounded(path, _MOST_UNPACKED)
    try:
        book = calamine.CalamineWorkbook.from_path(str(path))
        sheets = book.sheet_names
        name = _chosen(path, sheets, sheets, wanted)
        sheet = book.get_sheet_by_name(name)
    except calamine.PasswordError:
        raise InvalidItem(f"{path} is protected by a password: save it without one") from None
    except calamine.CalamineError as error:
        raise InvalidItem(f"{path} is no spreadsheet: {error}") from None
    merged = [
        (top + 1, left, bottom + 1, right)
        for (top, left), (bottom, right) in sheet.merged_cell_ranges or ()
    ]

    def rows() -> Iterator[_Numbered]:
        yield _filled(enumerate(sheet.to_python(skip_empty_area=False), start=1), merged)

    return _Sheet(path, name, len(sheets), rows)


def _chosen(path: Path, sheets: list[str], visible: list[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in sheets:
            raise InvalidItem(f"{path}: {there_is_no('sheet', wanted, sheets)}")
        return wanted
    if not sheets:
        raise InvalidItem(f"{path} has no sheet with cells")
    return (visible or sheets)[0]


def _scanned(path: Path, member: str) -> tuple[list[tuple[int, int, int, int]], int]:
    """Top, left, bottom and right of what is merged: rows from 1, columns from 0; and how many
    formulas have no value, as programs leave them that write files and compute nothing.
    """
    found: list[tuple[int, int, int, int]] = []
    uncomputed = 0
    rest = b""
    with zipfile.ZipFile(path) as archive, archive.open(member.lstrip("/")) as file:
        while piece := file.read(1 << 20):
            text = rest + piece
            end = 0
            for match in _NO_VALUE.finditer(text):
                # An empty text that a formula came to is of that type.
                uncomputed += b't="str"' not in (match["of"] or b"")
                end = match.end()
            for match in _MERGED.finditer(text):
                left, top, right, bottom = match.groups()
                found.append((int(top), _column(left), int(bottom), _column(right)))
                end = max(end, match.end())
                if len(found) > _MOST_MERGED:
                    raise InvalidItem(f"{path} has more than {_MOST_MERGED:,} merged cells")
            rest = text[max(end, len(text) - _LONGEST_TAG) :]
    return found, uncomputed


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _filled(rows: _Numbered, merged: list[tuple[int, int, int, int]]) -> _Numbered:
    """Rows in which what is merged downwards has its value everywhere; across it stays once."""
    waiting = sorted((part for part in merged if part[2] > part[0]), reverse=True)
    under: list[tuple[int, int, Any]] = []
    for line, cells in rows:
        under = [part for part in under if part[0] >= line]
        if not under and not (waiting and waiting[-1][0] <= line):
            yield line, cells
            continue
        filled = list(cells)
        for _, column, value in under:
            filled += [None] * (column + 1 - len(filled))
            filled[column] = value
        while waiting and waiting[-1][0] <= line:
            _, column, bottom, _ = waiting.pop()
            if column < len(filled):
                under.append((bottom, column, filled[column]))
        yield line, filled


def _plain(cell: Any) -> Any:
    """A cell without its spreadsheet's habits: whole numbers whole, a day without its midnight."""
    if cell == "":
        return None
    if isinstance(cell, float) and abs(cell) >= _EXACT:
        return _Inexact(cell)
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date()
    return cell
