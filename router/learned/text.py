"""Texts as numbers: hashed words and character n-grams, without a vocabulary or a model file."""

import re
from collections.abc import Iterator, Sequence
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

_BESIDE = 2
"""Spaces around each text of several."""

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
    alone: Vector = counts_of([text])[0]
    return alone


def together(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in parts that are looked at in one go: what an array costs is paid once a part."""
    part: list[str] = []
    size = 0
    for text in texts:
        seen = min(len(text), LONGEST)
        if part and size + seen > LONGEST:
            yield part
            part, size = [], 0
        part.append(text)
        size += seen + _BESIDE
    if part:
        yield part


def counts_of(texts: Sequence[str]) -> "Vector":
    """``counts`` of a part that ``together`` gave, a row a text."""
    import numpy as np

    joined = [f" {' '.join(tokens(text))} " for text in texts]
    codes = np.frombuffer("".join(joined).encode("utf-32-le", "replace"), np.uint32)
    row = np.repeat(np.arange(len(joined)), [len(one) for one in joined])
    powers, inverses = _powers()
    prefix = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[: len(codes)], out=prefix[1:])
    spaces = np.flatnonzero(codes == 32)
    inside = np.zeros(len(codes) + 1, np.int64)
    np.cumsum(codes == 32, out=inside[1:])
    found: list[Words] = []
    kinds: list[NDArray[np.intp]] = []

    def hashed(begins: "NDArray[np.intp]", ends: "NDArray[np.intp]", kind: int, at: int) -> None:
        found.append((prefix[ends] - prefix[begins]) * inverses[begins] + np.uint64(kind))
        kinds.append((2 * row[begins] + at) * BUCKETS)

    for apart in (1, 2):
        begins, ends = spaces[:-apart], spaces[apart:]
        same = row[begins] == row[ends]
        hashed(begins[same], ends[same], apart, 0)
    for size in _GRAMS:
        begins = np.arange(max(0, len(codes) - size + 1))
        # Within one word and the spaces around it; where two texts meet are two spaces.
        whole = inside[begins + size - 1] == inside[begins + 1]
        begins = begins[whole if size > 2 else row[begins] == row[begins + 1]]
        hashed(begins, begins + size, 16 + size, 1)
    hashes = _mixed(np.concatenate(found))
    signs = 1.0 - 2.0 * (hashes & np.uint64(1)).astype(np.float32)
    buckets = np.concatenate(kinds) + (hashes >> np.uint64(64 - 12)).astype(np.intp)
    counted = np.bincount(buckets, weights=signs, minlength=len(joined) * WIDTH)
    return counted.astype(np.float32).reshape(len(joined), WIDTH)


def scores(texts: Sequence[str], rarity: "Vector", weights: "Vector") -> "Vector":
    """What a column of ``weights`` (``WIDTH`` rows) comes to for each text of such a part: its
    ``weighted`` counts times the column. Only what occurs in a text is looked at.
    """
    import numpy as np

    counted = counts_of(texts).reshape(-1)
    at = np.flatnonzero(counted != 0)
    column, block = at % WIDTH, at // BUCKETS
    found = counted[at]
    values = np.copysign(np.log1p(np.abs(found)), found) * rarity[column]
    blocks = 2 * len(texts)
    lengths = np.sqrt(np.bincount(block, values * values, blocks))
    lengths = np.where(lengths > 0, lengths, 1.0)
    came_to = [
        (np.bincount(block, values * one[column], blocks) / lengths).reshape(-1, 2).sum(axis=1)
        for one in weights.T
    ]
    return np.stack(came_to, axis=1)


def weighted(found: "Vector", rarity: "Vector") -> "Vector":
    """``counts`` with a weight for each bucket, each block of length one (or nothing at all)."""
    import numpy as np

    dampened: Vector = np.copysign(np.log1p(np.abs(found)), found) * rarity
    blocks = dampened.reshape(2, BUCKETS)
    lengths = np.sqrt((blocks * blocks).sum(axis=1, keepdims=True))
    blocks /= np.where(lengths > 0, lengths, 1.0)
    return dampened


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

    # Each character may be a token of its own, with a space beside it, and a text may be empty.
    size = 4 * LONGEST + 4
    with np.errstate(over="ignore"):
        steps = np.full(size, np.uint64(_BASE)), np.full(size, np.uint64(_INVERSE))
        for step in steps:
            step[0] = 1
        return np.cumprod(steps[0], dtype=np.uint64), np.cumprod(steps[1], dtype=np.uint64)
