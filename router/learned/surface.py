"""What a text looks like, whatever it says: lengths, digits, marks, lines, formulas."""

import math
import re
from typing import TYPE_CHECKING

from tierqueue.router.learned.text import LONGEST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNS = 14
"""Numbers that ``surface`` gives for a text."""

_NEGATED = re.compile(r"\b(?:not|except|least|false|never)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")
_GAP = re.compile(r"_{2,}|\.\.\.")
_LINE = ord("\n")


def surface(text: str) -> "NDArray[np.float64]":
    """``SIGNS`` numbers of moderate size; the first ``LONGEST`` characters are looked at, and the
    length of the whole.
    """
    import numpy as np

    size = len(text)
    text = text[:LONGEST]
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    seen = max(1, len(codes))
    words = max(1, text.count(" ") + text.count("\n") + 1)
    digits = int(np.count_nonzero((codes >= 48) & (codes <= 57)))
    capitals = int(np.count_nonzero((codes >= 65) & (codes <= 90)))
    letters = capitals + int(np.count_nonzero(((codes >= 97) & (codes <= 122)) | (codes > 127)))
    blanks = int(np.count_nonzero((codes == 32) | (codes == _LINE)))
    lines = np.flatnonzero(codes == _LINE)
    lengths = np.diff(np.concatenate([[-1], lines, [len(codes)]]))
    return np.array(
        [
            math.log1p(size),
            math.log1p(words),
            seen / words,
            digits / seen,
            capitals / seen,
            (seen - letters - digits - blanks) / seen,
            len(lines) / 10,
            math.log1p(digits),
            float("Statement 1" in text),
            float(_GAP.search(text) is not None),
            float(_NEGATED.search(text) is not None),
            min(text.count("?"), 10),
            math.sqrt(sum(1 for _ in _NUMBER.finditer(text))),
            math.log1p(float(lengths.std())),
        ]
    )
