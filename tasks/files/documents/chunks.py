"""Text in chunks: at headings and paragraphs where it can be, never within a word."""

import re
from collections.abc import Iterator

CHARACTERS = 8_000
"""Of one chunk at most: some two thousand tokens."""

OVERLAP = 400
"""Characters of a chunk's end that begin the next: what stands across the cut is in one of them."""

_CUTS = (re.compile(r"\n(?=#{1,6} )"), re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"\s"))


def chunked(text: str, most: int = CHARACTERS, overlap: int = OVERLAP) -> Iterator[tuple[int, str]]:
    """Chunks of at most ``most`` characters that cover all of ``text``, and where each begins.

    Each but the first begins with up to ``overlap`` characters of the one before. An empty text is
    one chunk.
    """
    start = 0
    while len(text) - start > most:
        end = _cut(text, start + most // 2, start + most)
        yield start, text[start:end]
        start = _cut(text, end - overlap, end) if overlap else end
    yield start, text[start:]


def _cut(text: str, low: int, high: int) -> int:
    """The last best place to cut between two places; ``high`` where there is none."""
    for kind in _CUTS:
        found = None
        for match in kind.finditer(text, low, high):
            found = match.end()
        if found is not None:
            return found
    return high
