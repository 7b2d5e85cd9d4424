"""A document as it is submitted: a name, what is known of it, and its pages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from tierqueue.router.errors import InvalidItem

MOST_CHARACTERS = 10_000_000
"""Characters of one document; no model reads a tenth of that."""

Page = Callable[[], str]
"""A page's text, read when it is asked for; raises ``InvalidItem`` where it cannot be."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document. ``pages`` raises ``InvalidItem`` for one that cannot be opened.

    ``paged`` is false where a file knows no pages: then it has one.
    """

    name: str
    pages: Callable[[], Iterator[Page]]
    paged: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)


BETWEEN = "\n\n"
"""What stands between two pages of a document."""


def whole(document: Document) -> tuple[str, tuple[int, ...]]:
    """The text of all its pages, and with which character each begins.

    Raises ``InvalidItem`` for one that is too long or unreadable.
    """
    parts: list[str] = []
    length = 0
    for page in document.pages():
        parts.append(page())
        length += len(parts[-1])
        if length > MOST_CHARACTERS:
            raise InvalidItem(f"it has more than {MOST_CHARACTERS:,} characters: split it")
    starts = accumulate((len(part) + len(BETWEEN) for part in parts[:-1]), initial=0)
    return BETWEEN.join(parts), tuple(starts)


def unreadable(name: str, why: str) -> Document:
    """A document of which only is known why it cannot be read."""

    def pages() -> Iterator[Page]:
        raise InvalidItem(why)

    return Document(name, pages)
