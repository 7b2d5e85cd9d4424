"""PDF: the text of its pages, and of scanned ones by OCR, in the house."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.documents.document import Document, Page
from tierqueue.tasks.files.extras import needed

MOST_PAGES = 2_000
"""Pages of one file; a longer one is refused whole, and nobody finds it half read."""

_PIXELS = 2_400
"""Pixels of a page's longer side for OCR: some 200 to the inch, whatever size a page claims."""


def read(path: Path, name: str) -> Document:
    """A PDF; a password and more than ``MOST_PAGES`` pages are refused when it is opened."""

    def pages() -> Iterator[Page]:
        with _opened(path) as pdf:
            count = len(pdf)
            if count > MOST_PAGES:
                raise InvalidItem(f"it has {count:,} pages, more than {MOST_PAGES:,}: split it")
            for number in range(count):
                yield lambda number=number: _page(pdf, number)  # type: ignore[misc]

    return Document(name, pages, paged=True)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    pdfium = needed("pypdfium2", "it is a PDF")
    try:
        pdf = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise InvalidItem("it is protected by a password: save it without one") from None
        raise InvalidItem(f"it is no PDF: {error}") from None
    try:
        yield pdf
    finally:
        pdf.close()


def _page(pdf: Any, number: int) -> str:
    pdfium = needed("pypdfium2", "it is a PDF")
    try:
        page = pdf[number]
        try:
            said = page.get_textpage().get_text_bounded().replace("\r\n", "\n").replace("\0", "")
            if said.strip() or not _has_image(page):
                return str(said)
            return _recognised(page, number)
        finally:
            page.close()
    except pdfium.PdfiumError as error:
        raise InvalidItem(f"page {number + 1} cannot be read: {error}") from None


def _has_image(page: Any) -> bool:
    raw = needed("pypdfium2.raw", "it is a PDF")
    return any(True for _ in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3))


def _recognised(page: Any, number: int) -> str:
    needed("rapidocr", f"page {number + 1} is scanned", "ocr")
    longer = max(page.get_size()) or 1.0
    image = page.render(scale=_PIXELS / longer, grayscale=False).to_numpy()
    found = _engine()(image)
    return "\n".join(found.txts or ())


@cache
def _engine() -> Any:
    rapidocr = needed("rapidocr", "it is scanned", "ocr")
    # Its own log says on every page what it does.
    return rapidocr.RapidOCR(params={"Global.log_level": "critical"})
