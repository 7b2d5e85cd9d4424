"""Word documents, and what is none."""

import zipfile
from pathlib import Path

import docx

from tests.tasks.files.documents.made import texts


def letter(path: Path) -> Path:
    made = docx.Document()
    made.add_heading("Complaint", level=0)
    made.add_paragraph("The lift is stuck.")
    made.add_heading("When", level=2)
    table = made.add_table(rows=2, cols=2)
    for place, said in enumerate(["day", "floor", "Monday", "3"]):
        table.cell(place // 2, place % 2).text = said
    made.add_paragraph("Yours, Ö.")
    made.save(str(path))
    return path


def changed(path: Path, member: str, *changes: tuple[str, str]) -> Path:
    other = path.with_name(f"other{path.suffix}")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name).decode() if name == member else source.read(name)
            if isinstance(content, str):
                for old, new in changes:
                    assert old in content
                    content = content.replace(old, new)
            target.writestr(name, content)
    return other


def test_headings_paragraphs_and_tables_are_read_in_order(tmp_path: Path) -> None:
    assert texts(letter(tmp_path / "letter.docx")) == [
        "# Complaint\nThe lift is stuck.\n## When\nday | floor\nMonday | 3\nYours, Ö."
    ]


def test_macros_are_refused(tmp_path: Path) -> None:
    kind = "application/vnd.{}.main+xml"
    path = changed(
        letter(tmp_path / "letter.docx"),
        "[Content_Types].xml",
        (
            kind.format("openxmlformats-officedocument.wordprocessingml.document"),
            kind.format("ms-word.document.macroEnabled"),
        ),
    )
    assert texts(path) == ["it holds macros: save it as .docx without them"]


def test_an_external_entity_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2", encoding="utf-8")
    doctype = f'<!DOCTYPE d [<!ENTITY leak SYSTEM "file://{secret}">]>'
    path = changed(
        letter(tmp_path / "letter.docx"),
        "word/document.xml",
        ("The lift is stuck.", "&leak;"),
        ("<w:document ", f"{doctype}<w:document "),
    )
    (said,) = texts(path)
    assert "hunter2" not in said


def test_what_is_no_word_document_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"text")
    (tmp_path / "b.docx").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(100))
    with zipfile.ZipFile(tmp_path / "c.docx", "w") as file:
        file.writestr("hello", "x")
    broken, locked, other = texts(tmp_path)
    assert broken.endswith("is broken: File is not a zip file")
    assert locked.startswith("it is protected by a password")
    assert other.startswith("it is no Word document")
