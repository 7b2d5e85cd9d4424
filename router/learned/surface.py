"""The surface of a text, whatever it says: lengths, digits, marks, lines, formulas."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tierqueue.router.learned.text import LONGEST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNS = 14
"""Numbers that ``surface`` gives for a text."""

_NEGATED = re.compile(r"\b(?:not|except|least|false|never)\b", re.IGNORECASE)
_ENDS_NEGATED = re.compile(r"(?:not|except|least|false|never)\b")
_NUMBER = re.compile(r"\d+")
_LINE = ord("\n")


def surface(text: str) -> "NDArray[np.float64]":
    """``SIGNS`` numbers of moderate size; the first ``LONGEST`` characters are looked at, and the
    length of the whole.
    """
    alone: NDArray[np.float64] = surfaces([text])[0]
    return alone


def surfaces(texts: Sequence[str]) -> "NDArray[np.float64]":
    """``surface`` of many texts, a row each; what is counted in them is counted in one go."""
    import numpy as np

    cut = [text[:LONGEST] for text in texts]
    # A line end after each: no text is empty, and its last line ends there.
    codes = np.frombuffer(
        "".join(f"{one}\n" for one in cut).encode("utf-32-le", "replace"), np.uint32
    )
    sizes = np.array([len(one) for one in cut])
    ends = np.cumsum(sizes + 1)
    begins = ends - sizes - 1

    def counted(mask: "NDArray[np.bool_]") -> "NDArray[np.int64]":
        return np.add.reduceat(mask, begins, dtype=np.int64)

    line = codes == _LINE
    digit = (codes >= 48) & (codes <= 57)
    digits = counted(digit)
    # A line end stands before each text but the first.
    numbers = counted(digit & ~np.concatenate([[False], digit[:-1]]))
    for place, one in enumerate(cut):
        if not one.isascii():
            numbers[place] = len(_NUMBER.findall(one))
    capitals = counted((codes >= 65) & (codes <= 90))
    letters = capitals + counted(((codes >= 97) & (codes <= 122)) | (codes > 127))
    lines = counted(line) - 1
    blanks = counted(codes == 32) + lines
    at = np.flatnonzero(line)
    lengths = np.diff(at, prepend=-1).astype(np.float64)
    owner = np.repeat(np.arange(len(cut)), lines + 1)
    mean = np.bincount(owner, lengths) / (lines + 1)
    spread = np.bincount(owner, (lengths - mean[owner]) ** 2) / (lines + 1)
    seen = np.maximum(1, sizes)
    words = np.maximum(1, np.array([one.count(" ") for one in cut]) + lines + 1)
    return np.stack(
        [
            np.log1p([len(text) for text in texts]),
            np.log1p(words),
            seen / words,
            digits / seen,
            capitals / seen,
            (seen - letters - digits - blanks) / seen,
            lines / 10,
            np.log1p(digits),
            np.array(["Statement 1" in one for one in cut], np.float64),
            np.array(["__" in one or "..." in one for one in cut], np.float64),
            np.array([_negated(one) for one in cut], np.float64),
            np.array([min(one.count("?"), 10) for one in cut], np.float64),
            np.sqrt(numbers),
            np.log1p(np.sqrt(spread)),
        ],
        axis=1,
    )


def _negated(text: str) -> bool:
    if not text.isascii():
        return _NEGATED.search(text) is not None
    # The same: a pattern that begins with letters is found several times as fast.
    low = text.lower()
    return any(
        not (before := low[max(0, found.start() - 1) : found.start()]).isalnum() and before != "_"
        for found in _ENDS_NEGATED.finditer(low)
    )
