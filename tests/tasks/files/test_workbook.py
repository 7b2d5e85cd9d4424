"""Spreadsheets as Excel-like programs write them, and the ugly ones."""

import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.tasks.files.written import given_back, source, values
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.opening import open_source
from tierqueue.tasks.files.source import Format, Reading

AT = datetime.fromisoformat("2026-01-02T03:04")
"""A spreadsheet knows no time zones."""


def book(
    tmp_path: Path, rows: list[list[Any]], change: Callable[[Any], None] | None = None
) -> Path:
    made = openpyxl.Workbook()
    sheet = made.active
    sheet.title = "Tickets"
    for row in rows:
        sheet.append(row)
    if change is not None:
        change(sheet)
    path = tmp_path / "work.xlsx"
    made.save(path)
    return path


def rewritten(path: Path, change: Callable[[str], str]) -> Path:
    """The first sheet's XML changed, as other programs write it."""
    other = path.with_name("other.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("sheet1.xml"):
                content = change(content.decode()).encode()
            new.writestr(name, content)
    return other


def test_cells_keep_their_types(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["text", "n", "x", "day", "at", "ok", "id"],
        ["hello", 3, 0.5, date(2026, 1, 2), AT, True, "0012"],
        [None, None, None, None, time(5, 6), None, None],
    ]
    work = open_source(book(tmp_path, rows))
    assert (work.columns, work.total, work.notes) == (tuple(rows[0]), 2, ())
    assert [list(row.values()) for row in values(work)] == rows[1:]
    assert [row.place for row in work.rows()] == ["row 2", "row 3"]


def test_an_id_of_sixteen_digits_and_more_becomes_no_float(tmp_path: Path) -> None:
    ids = ["9999999999999999", "12345678901234567890", "1234567890123456"]
    path = rewritten(
        book(tmp_path, [["id"], [1], [2], [3]]),
        lambda xml: (
            xml.replace("<v>1</v>", f"<v>{ids[0]}</v>")
            .replace("<v>2</v>", f"<v>{ids[1]}</v>")
            .replace("<v>3</v>", "<v>1.234567890123456E15</v>")
        ),
    )
    work = open_source(path)
    assert [row["id"] for row in values(work)] == [int(digits) for digits in ids]
    (tmp_path / "back.xlsx").write_bytes(given_back(work.format, ["id"], values(work)))
    back = open_source(tmp_path / "back.xlsx")
    assert [str(row["id"]) for row in values(back)] == ids


def test_what_is_merged_downwards_stands_in_every_row(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["group", "text"],
        ["a", "1"],
        [None, "2"],
        [None, None],
        ["b", "3"],
        ["wide", None],
    ]

    def merge(sheet: Any) -> None:
        sheet.merge_cells("A2:A4")
        sheet.merge_cells("A6:B6")

    work = open_source(book(tmp_path, rows, merge))
    assert [tuple(row.values()) for row in values(work)] == [
        ("a", "1"),
        ("a", "2"),
        ("a", None),
        ("b", "3"),
        ("wide", None),
    ]


def test_empty_rows_are_none_and_the_first_with_cells_names_the_columns(tmp_path: Path) -> None:
    work = open_source(book(tmp_path, [[], [], ["text", None, "n"], [], ["a", None, 1], [None]]))
    assert work.columns == ("text", "column_2", "n")
    assert [(row.place, row.columns) for row in work.rows()] == [
        ("row 5", {"text": "a", "column_2": None, "n": 1})
    ]


def test_cells_beyond_the_header_are_that_rows_own_affair(tmp_path: Path) -> None:
    first, second = open_source(book(tmp_path, [["text"], ["a", "stray"], ["b"]])).rows()
    assert first.wrong == "it has cells beyond the last column that has a name"
    assert second.wrong is None


def test_a_formula_is_the_value_it_had(tmp_path: Path) -> None:
    path = rewritten(
        book(tmp_path, [["n"], ["=1+1"]]), lambda xml: re.sub("<v ?/>|<v></v>", "<v>2</v>", xml)
    )
    assert values(open_source(path)) == [{"n": 2}]


def test_the_first_sheet_that_is_seen_is_read_unless_another_is_named(tmp_path: Path) -> None:
    def more(sheet: Any) -> None:
        hidden = sheet.parent.create_sheet("Hidden", 0)
        hidden.append(["x"])
        hidden.sheet_state = "hidden"
        other = sheet.parent.create_sheet("Other")
        other.append(["y"])
        other.append([1])

    path = book(tmp_path, [["text"], ["a"]], more)
    work = open_source(path)
    assert values(work) == [{"text": "a"}]
    assert work.notes == ("sheet 'Tickets', the first of 3",)
    assert values(open_source(path, Reading(sheet="Other"))) == [{"y": 1}]
    with pytest.raises(InvalidItem, match=r"sheet 'Othr'.*did you mean"):
        open_source(path, Reading(sheet="Othr"))


def test_a_spreadsheet_comes_back_as_one_with_columns_added(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["text", None, "day"], ["=1+1", 0.5, date(2026, 1, 2)]]

    def as_text(sheet: Any) -> None:
        sheet["A2"].data_type = "s"

    work = open_source(book(tmp_path, rows, as_text))
    (row,) = values(work)
    added = {
        "output": {"label": "x"},
        "error": "=cmd()",
        "long": "y" * 40_000,
        "odd": "a\x00\ud83d",
    }
    back = given_back(work.format, [*work.columns, *added], [{**row, **added}], list(added))
    (tmp_path / "back.xlsx").write_bytes(back)
    again = open_source(tmp_path / "back.xlsx")
    assert again.format.header == ("text", "", "day", *added)
    (found,) = values(again)
    assert {name: found[name] for name in row} == row
    assert found["output"] == '{"label": "x"}'
    assert found["error"] == "=cmd()"
    assert len(found["long"]) == 32_767
    assert found["long"].endswith("[cut: 40,000 characters]")
    assert found["odd"] == "a\ufffd?"


def test_an_open_document_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "work.ods"
    cells = "".join(
        f'<table:table-row><table:table-cell office:value-type="string"><text:p>{text}</text:p>'
        f"</table:table-cell></table:table-row>"
        for text in ("text", "hello", "", "again")
    )
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text")
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        file.writestr(
            "META-INF/manifest.xml",
            '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        )
        file.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:body><office:spreadsheet>"
            f'<table:table table:name="S">'
            f"{cells}</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    work = open_source(path)
    assert [(row.place, row.columns) for row in work.rows()] == [
        ("row 2", {"text": "hello"}),
        ("row 4", {"text": "again"}),
    ]
    assert work.format == Format("xlsx", header=("text",), sheet="S")


@pytest.mark.parametrize("rows", [[], [["text"]]])
def test_a_sheet_without_rows_is_refused(tmp_path: Path, rows: list[list[Any]]) -> None:
    with pytest.raises(InvalidItem, match=r"is empty: its first row|has no rows"):
        open_source(book(tmp_path, rows))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("work.xlsx", b"text\nx\n", "is broken: File is not a zip file"),
        ("work.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "protected by a password"),
        ("work.xls", b"text\nx\n", "is no spreadsheet"),
        ("work.ods", b"text\nx\n", "is broken"),
    ],
)
def test_what_is_no_spreadsheet_is_refused(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    with pytest.raises(InvalidItem, match=complaint):
        source(tmp_path, content, name)


def test_a_zip_file_of_something_else_is_no_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "work.xlsx"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("hello.txt", "hello")
    with pytest.raises(InvalidItem, match="is no spreadsheet"):
        open_source(path)


def test_entities_of_a_sheet_are_not_expanded(tmp_path: Path) -> None:
    def laugh(xml: str) -> str:
        lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
        doctype = (
            f'<!DOCTYPE w [<!ENTITY l0 "lollollol">{lol}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        )
        return doctype + xml.replace("<v>7</v>", "<v>&l9;&f;</v>")

    with pytest.raises(InvalidItem, match="is no spreadsheet"):
        open_source(rewritten(book(tmp_path, [["n"], [7]]), laugh))


def test_formulas_that_were_never_computed_are_said(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    book = openpyxl.Workbook()
    for row in (["id", "sum"], [1, "=A2+1"], [2, "=A3+1"]):
        book.active.append(row)
    book.save(path)
    source = open_source(path)
    (note,) = source.notes
    assert note.startswith("2 formulas of sheet 'Sheet' have no value")
    assert [row.columns["sum"] for row in source.rows()] == [None, None]


def test_a_number_of_which_the_sheet_has_lost_digits_gets_none_that_are_made_up(
    tmp_path: Path,
) -> None:
    path = rewritten(
        book(tmp_path, [["text", "id"], ["a", 1], ["b", 2], ["c", 3]]),
        lambda xml: (
            xml.replace("<v>1</v>", "<v>9007199254740991</v>")
            .replace("<v>2</v>", "<v>1.23456789012345E+18</v>")
            .replace("<v>3</v>", "<v>9.007199254740992E15</v>")
        ),
    )
    work = open_source(path)
    found = [row["id"] for row in values(work)]
    assert found == [9007199254740991, "1.23456789012345e+18", "9007199254740992.0"]
    [note] = work.notes
    assert note.startswith(
        "2 numbers may have lost digits in sheet 'Tickets', the first in row 3, column id"
    )


def test_what_a_sheet_cannot_hold_as_it_is_comes_back_as_text(tmp_path: Path) -> None:
    held = {
        "int64": 2**63 - 1,
        "uint64": 2**64 - 1,
        "negative": -(2**53) - 1,
        "decimal": Decimal("12345678901234567.89"),
        "old": date(1899, 12, 31),
        "older": datetime.fromisoformat("1850-06-01T12:30"),
        "nan": float("nan"),
    }
    (tmp_path / "back.xlsx").write_bytes(
        given_back(Format("xlsx", header=tuple(held)), list(held), [held])
    )
    [row] = values(open_source(tmp_path / "back.xlsx"))
    assert row == {
        "int64": "9223372036854775807",
        "uint64": "18446744073709551615",
        "negative": "-9007199254740993",
        "decimal": "12345678901234567.89",
        "old": "1899-12-31",
        "older": "1850-06-01T12:30:00",
        "nan": "nan",
    }
