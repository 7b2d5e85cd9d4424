"""The process that reads PDFs for another one: requests on standard input, answers on its output.

One JSON object a line: ``{"open": PATH}`` is answered by ``{"said": PAGES}``, ``{"page": NUMBER}``
(from 0) by ``{"said": TEXT}``, either by ``{"wrong": WHY}``.
"""

import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.extras import needed

MOST_PAGES = 2_000
"""Pages of one file; a longer one is refused whole, and nobody finds it half read."""

_PIXELS = 2_400
"""Pixels of a page's longer side for OCR: some 200 to the inch, whatever size a page claims."""


def main() -> None:
    """Answer requests until standard input ends."""
    # What a library prints must not stand among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    opened: Any = None
    for line in sys.stdin:
        asked = json.loads(line)
        told: dict[str, Any]
        try:
            if "open" in asked:
                if opened is not None:
                    opened.close()
                    opened = None
                opened = _opened(Path(asked["open"]))
                told = {"said": len(opened)}
            else:
                told = {"said": _page(opened, asked["page"])}
        except InvalidItem as error:
            told = {"wrong": error.message}
        answers.write(json.dumps(told) + "\n")
        answers.flush()


def _opened(path: Path) -> Any:
    pdfium = needed("pypdfium2", "it is a PDF")
    try:
        pdf = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise InvalidItem("it is protected by a password: save it without one") from None
        raise InvalidItem(f"it is no PDF: {error}") from None
    if (count := len(pdf)) > MOST_PAGES:
        pdf.close()
        raise InvalidItem(f"it has {count:,} pages, more than {MOST_PAGES:,}: split it")
    return pdf


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


if __name__ == "__main__":
    main()
