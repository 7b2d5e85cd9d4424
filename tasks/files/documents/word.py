"""Word documents: paragraphs, headings and tables in their order."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files import zipped
from tierqueue.tasks.files.documents.document import Document, Page
from tierqueue.tasks.files.extras import needed

_MOST_UNPACKED = 500_000_000
_OLD_OR_ENCRYPTED = b"\xd0\xcf\x11\xe0"


def read(path: Path, name: str) -> Document:
    """A ``.docx``; its macros never run, and what it refers to outside is never fetched."""

    def content() -> str:
        with path.open("rb") as file:
            if file.read(4) == _OLD_OR_ENCRYPTED:
                raise InvalidItem(
                    "it is protected by a password, or an old .doc: save it as .docx without one"
                )
        zipped.bounded(path, _MOST_UNPACKED, called="it")
        return "\n".join(_lines(_opened(path)))

    def pages() -> Iterator[Page]:
        yield content

    return Document(name, pages)


def _opened(path: Path) -> Any:
    docx = needed("docx", "it is a Word document")
    etree = needed("lxml.etree", "it is a Word document")
    try:
        return docx.Document(str(path))
    except ValueError as error:
        if "macroEnabled" in str(error):
            raise InvalidItem("it holds macros: save it as .docx without them") from None
        raise InvalidItem(f"it is no Word document: {error}") from None
    except (KeyError, AttributeError, etree.XMLSyntaxError, zipfile.BadZipFile) as error:
        raise InvalidItem(f"it is no Word document: {error}") from None


def _lines(document: Any) -> Iterator[str]:
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            yield from _table(block)
        elif said := block.text.strip():
            yield _heading(block) + str(said)


def _heading(paragraph: Any) -> str:
    style = paragraph.style
    name = "" if style is None else str(style.name)
    if name == "Title":
        return "# "
    level = name.removeprefix("Heading ")
    return "#" * int(level) + " " if level != name and level.isdecimal() else ""


def _table(table: Any) -> Iterator[str]:
    for row in table.rows:
        cells: list[str] = []
        for cell in row.cells:
            said = " ".join(cell.text.split())
            # A merged cell is told once for every place that it covers.
            if not cells or cells[-1] != said:
                cells.append(said)
        yield " | ".join(cells)
