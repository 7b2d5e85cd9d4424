"""Documents as a source: a row a document, a page, or a chunk."""

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Literal

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.documents import places
from tierqueue.tasks.files.documents.chunks import chunked
from tierqueue.tasks.files.documents.document import Document, whole
from tierqueue.tasks.files.source import Format, Reading, Source, SourceRow

_COLUMNS = {
    "document": ("file", "text"),
    "page": ("file", "page", "text"),
    "chunk": ("file", "page", "chunk", "offset", "text"),
}
By = Literal["document", "page", "chunk"]


def read(path: Path, reading: Reading) -> Source:
    """Documents, counted, with their text in a column; raises ``InvalidItem`` where there is none.

    Pages are counted without being read, chunks are not: there each document is read twice.
    """
    assert reading.by != "image"
    by = reading.by or "document"

    def rows() -> Iterator[SourceRow]:
        numbers = count()
        for document in places.documents(path):
            for place, values, wrong, pages in _parts(document, by):
                said = {"file": document.name, **document.fields, **values}
                yield SourceRow(next(numbers), said, place, wrong, pages)

    total = sum(_counted(document, by) for document in places.documents(path))
    if not total:
        raise InvalidItem(f"{path} holds no document: {', '.join(places.KINDS)}")
    columns = _COLUMNS[by]
    first = next(places.documents(path))
    if first.fields:
        columns = (columns[0], *first.fields, *columns[1:])
    return Source(path.name or str(path), Format("jsonl"), columns, total, rows, text="text")


_Part = tuple[str, Mapping[str, Any], str | None, tuple[int, ...]]


def _parts(document: Document, by: By) -> Iterator[_Part]:
    """Place, values, what is wrong and where pages begin, of every row that a document is."""
    if by == "document":
        try:
            said, pages = whole(document)
        except InvalidItem as error:
            yield document.name, {}, error.message, (0,)
        else:
            yield document.name, {"text": said}, _nothing(said), pages
        return
    for part in _paged(document, by):
        yield *part, (0,)


def _paged(document: Document, by: By) -> Iterator[tuple[str, Mapping[str, Any], str | None]]:
    number = 0
    try:
        for number, page in enumerate(document.pages(), start=1):
            place = f"{document.name} page {number}" if document.paged else document.name
            values = {"page": number} if document.paged else {"page": None}
            try:
                said = page()
            except InvalidItem as error:
                yield place, values, error.message
                continue
            if by == "page":
                yield place, {**values, "text": said}, _nothing(said)
                continue
            for chunk, (start, piece) in enumerate(chunked(said), start=1):
                told = {**values, "chunk": chunk, "offset": start, "text": piece}
                yield f"{place} chunk {chunk}", told, _nothing(piece)
    except InvalidItem as error:
        yield f"{document.name} after page {number}" if number else document.name, {}, error.message


def _counted(document: Document, by: By) -> int:
    if by == "document":
        return 1
    if by == "chunk":
        return sum(1 for _ in _parts(document, by))
    found = 0
    try:
        for _ in document.pages():
            found += 1
    except InvalidItem:
        return found + 1
    return found


def _nothing(said: str) -> str | None:
    return None if said.strip() else "it has no text"
