"""Folders, patterns and zip files."""

import zipfile
from pathlib import Path

import pytest

from tests.tasks.files.documents.made import rows, texts
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.opening import open_source


def placed(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {name}", encoding="utf-8")


def test_a_folder_is_every_file_in_it_in_the_order_of_names(tmp_path: Path) -> None:
    placed(tmp_path, "b.txt", "a/c.md", ".hidden.txt", ".git/x.txt")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [(row.columns["file"], row.wrong) for row in rows(tmp_path)] == [
        ("b.txt", None),
        ("a/c.md", None),
    ]


def test_a_file_of_another_kind_is_its_row_alone(tmp_path: Path) -> None:
    placed(tmp_path, "a.txt", "b.exe", "c.csv")
    first, second, third = texts(tmp_path)
    assert first == "of a.txt"
    assert second.startswith("a file .exe is none of .txt, .md")
    assert third.startswith("a file .csv is none of")


def test_a_pattern_is_every_file_that_fits_it(tmp_path: Path) -> None:
    placed(tmp_path, "a.txt", "b/c.txt", "b/d.md")
    assert texts(tmp_path / "**" / "*.txt") == ["of a.txt", "of b/c.txt"]
    found = rows(tmp_path / "b" / "*.txt")
    assert [row.columns["file"] for row in found] == ["c.txt"]
    with pytest.raises(InvalidItem, match="holds no document"):
        open_source(tmp_path / "*.pdf")


def test_a_zip_file_is_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("b.txt", "two")
        file.writestr("folder/a.txt", "one")
        file.writestr("../../escaped.txt", "three")
        file.writestr("more.zip", b"PK")
        file.writestr("__MACOSX/b.txt", "resource")
    assert [(row.columns["file"], row.wrong is None) for row in rows(path)] == [
        ("all.zip/../../escaped.txt", True),
        ("all.zip/b.txt", True),
        ("all.zip/folder/a.txt", True),
        ("all.zip/more.zip", False),
    ]
    assert not (tmp_path.parent.parent / "escaped.txt").exists()


def test_a_mailbox_in_a_zip_file_is_every_message_of_it(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("one", "two"):
            file.writestr(
                f"{name}.mbox",
                "".join(f"From a@b.example\nSubject: {n}\n\nof {name}, {n}\n\n" for n in range(2)),
            )
    assert [text.strip() for text in texts(path)] == [
        "of one, 0",
        "of one, 1",
        "of two, 0",
        "of two, 1",
    ]


def test_what_is_broken_in_a_zip_file_is_named_as_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("bad.docx", "no document")
    [row] = rows(path)
    assert row.wrong == "it is broken: File is not a zip file"


def test_a_zip_bomb_is_one_row(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros.txt", bytes(60_000_000))
    placed(tmp_path, "fine.txt")
    bomb, fine = texts(tmp_path)
    assert "refused as a zip bomb" in bomb
    assert fine == "of fine.txt"


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidItem, match="holds no document"):
        open_source(tmp_path)
