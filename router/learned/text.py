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
_MARKS = [chr(code) for code in range(128) if re.match(r"[^\w\s]", chr(code))]
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_MIXERS = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)
_SHIFT = 33


def spaced(text: str) -> str:
    """Words, and marks one by one, in lower case with a space between any two; at most ``LONGEST``
    characters of ``text``.
    """
    seen = text[:LONGEST].lower()
    if not seen.isascii():
        return " ".join(_TOKEN.findall(seen))
    # The same, several times as fast.
    for mark in _MARKS:
        if mark in seen:
            seen = seen.replace(mark, f" {mark} ")
    return " ".join(seen.split())


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

    return _counted(texts).astype(np.float32).reshape(len(texts), WIDTH)


def _counted(texts: Sequence[str]) -> "NDArray[np.float64]":
    """The same as whole numbers in one row."""
    import numpy as np

    joined = [f" {spaced(text)} " for text in texts]
    codes = np.frombuffer("".join(joined).encode("utf-32-le", "replace"), np.uint32)
    size = len(codes)
    row = np.repeat(np.arange(0, len(joined) * WIDTH, WIDTH), [len(one) for one in joined])
    powers, inverses = _powers()
    prefix = np.zeros(size + 1, np.uint64)
    np.cumsum(codes * powers[:size], out=prefix[1:])
    blank = codes == 32
    spaces = np.flatnonzero(blank)
    inside = np.zeros(size + 1, np.int32)
    np.cumsum(blank, out=inside[1:])
    hashes = np.empty(2 * len(spaces) + len(_GRAMS) * size, np.uint64)
    buckets = np.zeros(len(hashes), np.intp)
    whole = np.zeros(len(hashes), np.bool_)
    end = 0
    for apart in (1, 2):
        begins, ends = spaces[:-apart], spaces[apart:]
        begin, end = end, end + len(begins)
        hashes[begin:end] = (prefix[ends] - prefix[begins]) * inverses[begins] + np.uint64(apart)
        np.equal(row[begins], row[ends], out=whole[begin:end])
        buckets[begin:end] = row[begins]
    for gram in _GRAMS:
        starts = max(0, size - gram + 1)
        begin, end = end, end + starts
        here = hashes[begin:end]
        np.subtract(prefix[gram:], prefix[:starts], out=here)
        here *= inverses[:starts]
        here += np.uint64(16 + gram)
        if gram == 2:
            np.equal(row[:starts], row[1:], out=whole[begin:end])
        else:
            # Within one word and the spaces around it; where two texts meet are two spaces.
            np.equal(inside[gram - 1 : size], inside[1 : starts + 1], out=whole[begin:end])
        np.add(row[:starts], BUCKETS, out=buckets[begin:end])
    hashes = _mixed(hashes[:end])
    buckets = buckets[:end]
    buckets += (hashes >> np.uint64(64 - 12)).view(np.int64)
    signs = whole[:end] * (1.0 - 2.0 * (hashes & np.uint64(1)).view(np.int64))
    counted = np.bincount(buckets, weights=signs, minlength=len(joined) * WIDTH)
    return counted.astype(np.float64, copy=False)


def scores(texts: Sequence[str], rarity: "Vector", weights: "Vector") -> "Vector":
    """What a column of ``weights`` (``WIDTH`` rows) comes to for each text of such a part: its
    ``weighted`` counts times the column. Only what occurs in a text is looked at.
    """
    import numpy as np

    counted = _counted(texts)
    at = np.flatnonzero(counted != 0)
    column, found = at & (WIDTH - 1), counted[at].astype(np.float32)
    values = np.copysign(np.log1p(np.abs(found)), found) * rarity[column]
    # One more, nothing, for a block at the end in which all signs cancel out.
    summed = np.zeros((1 + weights.shape[1], len(at) + 1))
    np.multiply(values, values, out=summed[0, :-1])
    for row, one in zip(summed[1:], weights.T, strict=True):
        np.multiply(values, one[column], out=row[:-1])
    begins = np.searchsorted(at, np.arange(2 * len(texts) + 1) * BUCKETS)
    blocks = np.add.reduceat(summed, begins[:-1], axis=1)
    blocks[:, begins[:-1] == begins[1:]] = 0
    lengths = np.sqrt(np.where(blocks[0] > 0, blocks[0], 1.0))
    of_text: Vector = (blocks[1:] / lengths).reshape(-1, len(texts), 2).sum(axis=2).T
    return of_text


def weighted(found: "Vector", rarity: "Vector") -> "Vector":
    """``counts`` with a weight for each bucket, each block of length one (or nothing at all)."""
    import numpy as np

    dampened: Vector = np.copysign(np.log1p(np.abs(found)), found) * rarity
    blocks = dampened.reshape(2, BUCKETS)
    lengths = np.sqrt((blocks * blocks).sum(axis=1, keepdims=True))
    blocks /= np.where(lengths > 0, lengths, 1.0)
    return dampened


def _mixed(hashes: "Words") -> "Words":
    """The hashes with each bit a part of each, in place."""
    import numpy as np

    shift = np.uint64(_SHIFT)
    for mixer in _MIXERS:
        hashes ^= hashes >> shift
        hashes *= np.uint64(mixer)
    hashes ^= hashes >> shift
    return hashes


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
