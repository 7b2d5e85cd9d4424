"""PDF files: text, scans, and those that are refused."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest

from tests.tasks.files.documents.made import pdf, rows, scan, texts
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.documents.pdf import Reader, end_readers, read

pytestmark = pytest.mark.processes


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules the process that reads finds first."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    end_readers()
    yield folder
    end_readers()


def test_a_pdf_is_one_row_or_a_row_a_page(tmp_path: Path) -> None:
    path = pdf(tmp_path / "letter.pdf", ["My card is lost", "Page two"])
    assert texts(path) == ["My card is lost\n\nPage two"]
    first, second = rows(path, "page")
    assert first.columns == {"file": "letter.pdf", "page": 1, "text": "My card is lost"}
    assert second.place == "letter.pdf page 2"


@pytest.mark.long
def test_a_scanned_page_is_read_in_the_house(tmp_path: Path) -> None:
    (said,) = texts(scan(tmp_path / "scan.pdf", "Invoice 2041 is paid"))
    assert said.replace(" ", "") == "Invoice2041ispaid"


def test_without_ocr_a_scanned_page_costs_its_row_alone(tmp_path: Path, stand_in: Path) -> None:
    (stand_in / "rapidocr.py").write_text("raise ImportError", encoding="utf-8")
    place = tmp_path / "letters"
    place.mkdir()
    scan(place / "b.pdf", "Invoice")
    pdf(place / "a.pdf", ["text"])
    assert texts(place) == ["text", "page 1 is scanned: pip install 'tierqueue[ocr]'"]


def test_a_page_without_anything_is_no_item(tmp_path: Path) -> None:
    path = pdf(tmp_path / "letter.pdf", ["one", ""])
    assert texts(path, "page") == ["one", "it has no text"]
    assert texts(path) == ["one\n\n"]


def test_ten_thousand_pages_are_one_refused_row(tmp_path: Path) -> None:
    made = pypdfium2.PdfDocument.new()
    for _ in range(10_000):
        made.new_page(100, 100)
    made.save(tmp_path / "long.pdf")
    pdf(tmp_path / "short.pdf", ["text"])
    refused = "it has 10,000 pages, more than 2,000: split it"
    assert texts(tmp_path) == [refused, "text"]
    assert texts(tmp_path, "page") == [refused, "text"]


ENCRYPTED = b"""%%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj
4 0 obj<</Filter/Standard/V 1/R 2/P -1/O(%s)/U(%s)>>endobj
trailer<</Root 1 0 R/Encrypt 4 0 R/ID[(0123456789abcdef)(0123456789abcdef)]>>
%%%%EOF""" % (b"o" * 32, b"u" * 32)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (ENCRYPTED, "it is protected by a password: save it without one"),
        (b"%PDF-1.7\nnothing", "it is no PDF: "),
        (b"", "it is no PDF: "),
    ],
)
def test_what_cannot_be_opened_is_one_row(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "bad.pdf").write_bytes(content)
    (said,) = texts(tmp_path, "page")
    assert said.startswith(complaint)


CRASHING = """
import os

class PdfiumError(Exception):
    pass

class PdfDocument:
    def __init__(self, path):
        if "opening" in str(path):
            os.abort()

    def __len__(self):
        return 3

    def __getitem__(self, number):
        if number == 1:
            os._exit(0)
        raise PdfiumError("as it came")

    def close(self):
        pass
"""


def test_a_file_that_crashes_what_reads_it_costs_its_own_rows(
    tmp_path: Path, stand_in: Path
) -> None:
    (stand_in / "pypdfium2.py").write_text(CRASHING, encoding="utf-8")
    place = tmp_path / "letters"
    place.mkdir()
    for name in ("a", "b opening", "c"):
        (place / f"{name}.pdf").write_bytes(b"")
    pages = [
        "page 1 cannot be read: as it came",
        "page 2 crashes the PDF reader, or takes 300 s to read",
        "page 3 cannot be read: as it came",
    ]
    opening = "it crashes the PDF reader, or takes 300 s to read"
    assert texts(place, "page") == [*pages, opening, *pages]
    assert texts(place) == [pages[0], opening, pages[0]]


def test_a_reader_that_was_killed_goes_on_with_the_next_page(tmp_path: Path) -> None:
    path = pdf(tmp_path / "letter.pdf", ["one", "two"])
    reader = Reader()
    try:
        assert reader.opened(path) == 2
        assert reader.pid is not None
        os.kill(reader.pid, signal.SIGKILL)
        with pytest.raises(InvalidItem, match="page 1 crashes"):
            reader.page(0)
        assert (reader.page(0), reader.page(1)) == ("one", "two")
    finally:
        reader.close()


def test_two_files_can_be_read_side_by_side(tmp_path: Path) -> None:
    first = read(pdf(tmp_path / "a.pdf", ["a1", "a2"]), "a")
    second = read(pdf(tmp_path / "b.pdf", ["b1", "b2"]), "b")
    said = [(a(), b()) for a, b in zip(first.pages(), second.pages(), strict=True)]
    assert said == [("a1", "b1"), ("a2", "b2")]
