"""Plain text, Markdown and HTML."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files import text
from tierqueue.tasks.files.documents.document import Document, Page
from tierqueue.tasks.files.extras import needed

_MOST_BYTES = 40_000_000

_UNREAD = {"head", "script", "style", "template", "noscript", "svg", "iframe", "object"}
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset"}
    | {"figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"}
    | {"hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul"}
)
_CELLS = {"td", "th"}


def read_text(path: Path, name: str) -> Document:
    """A text file in whatever encoding it has."""

    def content() -> str:
        bounded(path)
        encoding = text.encoding_of(path, None)
        with text.reading(path, encoding.name) as file:
            return _without_nul(file.read())

    return _one_page(name, content)


def read_html(path: Path, name: str) -> Document:
    """What a reader of the page sees, by paragraphs."""

    def content() -> str:
        bounded(path)
        return html_text(path.read_bytes(), name)

    return _one_page(name, content)


def html_text(content: bytes | str, name: str) -> str:
    """The text of a page; nothing it refers to is fetched, and no entity of its own is resolved."""
    html = needed("lxml.html", f"{name} is HTML")
    etree = needed("lxml.etree", f"{name} is HTML")
    try:
        root = html.document_fromstring(content, parser=html.HTMLParser(no_network=True))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise InvalidItem(f"it is no HTML: {error}") from None
    lines = "".join(_pieces(root)).split("\n")
    return _without_nul("\n".join(line for part in lines if (line := " ".join(part.split()))))


def bounded(path: Path) -> None:
    """Raises ``InvalidItem`` for a file too large to be a document of text."""
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise InvalidItem(f"it has {size:,} bytes, more than {_MOST_BYTES:,}: split it")


def _one_page(name: str, content: Page) -> Document:
    return Document(name, lambda: iter((content,)))


def _pieces(root: Any) -> Iterator[str]:
    # By hand and not by recursion: a page may be nested as deep as it likes.
    waiting: list[tuple[Any, bool]] = [(root, True)]
    while waiting:
        element, opens = waiting.pop()
        read = isinstance(element.tag, str) and element.tag not in _UNREAD
        if not opens:
            yield _break(element)
            yield element.tail or ""
            continue
        waiting.append((element, False))
        if read:
            yield _break(element)
            yield element.text or ""
            waiting.extend((child, True) for child in reversed(element))


def _break(element: Any) -> str:
    if element.tag in _CELLS:
        return " "
    return "\n" if element.tag in _BLOCKS else ""


def _without_nul(said: str) -> str:
    if "\0" in said:
        raise InvalidItem("it holds NUL characters, which no text has: it may be no text file")
    return said
