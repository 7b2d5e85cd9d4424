"""Endless repetition: a model that says one thing over and over until its limit ends it."""

_CHARACTERS_READ = 4_000
"""Characters at the end of an answer that are looked at."""

_TIMES = 6
"""So often in a row a piece must stand at the end."""

_CHARACTERS = 100
"""So many characters must the row have: a short list may well end in a few equal entries."""


def repeats_itself(text: str) -> bool:
    """Whether ``text`` ends in one piece, over and over."""
    tail = text[-_CHARACTERS_READ:][::-1]
    # How much of the beginning each beginning also ends with: what is left is its shortest period.
    border = [0] * len(tail)
    for end in range(1, len(tail)):
        length = border[end - 1]
        while length and tail[end] != tail[length]:
            length = border[length - 1]
        border[end] = length + (tail[end] == tail[length])
        row, period = end + 1, end + 1 - border[end]
        if row >= _CHARACTERS and row >= _TIMES * period:
            return True
    return False
