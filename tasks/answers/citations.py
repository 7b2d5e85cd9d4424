"""A place in a document: its page, from 1, and characters of that page."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from tierqueue.tasks.answers.quotations import place


def page_of(starts: Sequence[int], at: int) -> tuple[int, int]:
    """The page and the character of it that a character of all pages is, by where they begin."""
    page = bisect_right(starts, at)
    return page, at - starts[page - 1]


def citations(text: str, starts: Sequence[int], quotations: Sequence[str]) -> list[dict[str, Any]]:
    """Each quotation with its place in ``text``: ``None`` for one that does not stand there."""
    cited = []
    for quotation in quotations:
        found = place(text, quotation)
        page, start = (None, None) if found is None else page_of(starts, found[0])
        end = None if found is None or start is None else start + found[1] - found[0]
        cited.append({"quotation": quotation, "page": page, "start": start, "end": end})
    return cited


def unread(starts: Sequence[int], missing: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Pieces of which an answer does not speak, from a page and character to another."""
    pieces = []
    for piece in missing:
        page, start = page_of(starts, piece["start"])
        last_page, last = page_of(starts, piece["end"] - 1)
        where = {"page": page, "start": start, "last_page": last_page, "end": last + 1}
        pieces.append({**where, "item": piece["item"], "reason": piece["reason"]})
    return pieces
