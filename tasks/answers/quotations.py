"""Quotations: where what an answer quotes stands in its source."""

import re


def place(source: str, quotation: str) -> tuple[int, int] | None:
    """Where ``quotation`` first stands in ``source``, as offsets in characters: start and end.

    Word for word, in the same case; only how words are set apart (blanks, line breaks) may differ.
    ``None`` where it does not stand there, and for one without a word.
    """
    words = quotation.split()
    if not words:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), source)
    return found.span() if found else None
