"""PDF files: text, scans, and those that are refused."""

import sys
from pathlib import Path

import pypdfium2
import pytest

from tests.tasks.files.documents.made import pdf, rows, scan, texts


def test_a_pdf_is_one_row_or_a_row_a_page(tmp_path: Path) -> None:
    path = pdf(tmp_path / "letter.pdf", ["My card is lost", "Page two"])
    assert texts(path) == ["My card is lost\n\nPage two"]
    first, second = rows(path, "page")
    assert first.columns == {"file": "letter.pdf", "page": 1, "text": "My card is lost"}
    assert second.place == "letter.pdf page 2"


def test_a_scanned_page_is_read_in_the_house(tmp_path: Path) -> None:
    (said,) = texts(scan(tmp_path / "scan.pdf", "Invoice 2041 is paid"))
    assert said.replace(" ", "") == "Invoice2041ispaid"


def test_without_ocr_a_scanned_page_costs_its_row_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    scan(tmp_path / "b.pdf", "Invoice")
    pdf(tmp_path / "a.pdf", ["text"])
    assert texts(tmp_path) == ["text", "page 1 is scanned: pip install 'tierqueue[ocr]'"]


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
