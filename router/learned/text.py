"""Texts as numbers: hashed words and character n-grams, without a vocabulary or a model file."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    Words = NDArray[np.uint64]

BUCKETS = 4096
"""Buckets of each block: one for words and pairs of words, one for character n-grams."""

WIDTH = 2 * BUCKETS
LONGEST = 8192
"""Characters that are looked at; what follows changes nothing."""

_GRAMS = (2, 3, 4, 5)
_TOKEN = re.compile(r"\w+|[^\w\s]")
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_MIXERS = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)
_SHIFT = 33


def tokens(text: str) -> list[str]:
    """Words, and marks one by one, in lower case; at most ``LONGEST`` characters of ``text``."""
    return _TOKEN.findall(text[:LONGEST].lower())


def counts(text: str) -> "Vector":
    """How often what falls into each bucket occurs, with the sign of its hash: ``WIDTH`` numbers.

    The same on each machine and in each release that reads the same artefacts.
    """
    import numpy as np

    joined = f" {' '.join(tokens(text))} "
    codes = np.frombuffer(joined.encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    powers, inverses = _powers()
    prefix = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[: len(codes)], out=prefix[1:])
    spaces = np.flatnonzero(codes == 32)
    inside = np.zeros(len(codes) + 1, np.int64)
    np.cumsum(codes == 32, out=inside[1:])

    def hashed(begins: "NDArray[np.intp]", ends: "NDArray[np.intp]", kind: int) -> "Words":
        return _mixed((prefix[ends] - prefix[begins]) * inverses[begins] + np.uint64(kind))

    words = [
        hashed(spaces[:-apart], spaces[apart:], apart) for apart in (1, 2) if len(spaces) > apart
    ]
    grams = []
    for size in _GRAMS:
        begins = np.arange(max(0, len(codes) - size + 1))
        # Within one word and the spaces around it.
        begins = begins[inside[begins + size - 1] == inside[begins + 1]]
        grams.append(hashed(begins, begins + size, 16 + size))
    return np.concatenate([_block(words), _block(grams)])


def weighted(found: "Vector", rarity: "Vector") -> "Vector":
    """``counts`` with a weight for each bucket, each block of length one (or nothing at all)."""
    import numpy as np

    dampened: Vector = np.copysign(np.log1p(np.abs(found)), found) * rarity
    blocks = dampened.reshape(2, BUCKETS)
    lengths = np.sqrt((blocks * blocks).sum(axis=1, keepdims=True))
    blocks /= np.where(lengths > 0, lengths, 1.0)
    return dampened


def _block(hashes: "list[Words]") -> "Vector":
    import numpy as np

    joined = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
    signs = 1.0 - 2.0 * (joined & np.uint64(1)).astype(np.float32)
    buckets = (joined >> np.uint64(64 - 12)).astype(np.intp)
    return np.bincount(buckets, weights=signs, minlength=BUCKETS).astype(np.float32)


def _mixed(hashes: "Words") -> "Words":
    import numpy as np

    shift = np.uint64(_SHIFT)
    for mixer in _MIXERS:
        hashes = (hashes ^ (hashes >> shift)) * np.uint64(mixer)
    return hashes ^ (hashes >> shift)


@lru_cache(maxsize=1)
def _powers() -> "tuple[Words, Words]":
    """Powers of the base and of its inverse modulo 2⁶⁴, for any text that is looked at."""
    import numpy as np

    # Each character may be a token of its own, with a space beside it.
    size = 2 * LONGEST + 4
    with np.errstate(over="ignore"):
        steps = np.full(size, np.uint64(_BASE)), np.full(size, np.uint64(_INVERSE))
        for step in steps:
            step[0] = 1
        return np.cumprod(steps[0], dtype=np.uint64), np.cumprod(steps[1], dtype=np.uint64)
