"""Durations of own engines' answers, counted by size, and so a bound on the next one."""

from collections.abc import Mapping
from math import ceil, log2

ENOUGH = 100
"""Answers of a task type from which on they bound its next call; before that its timeout does."""

SHARE = 0.99
"""So much of the answers took no longer than what is taken to be the longest usual time."""

FACTOR = 2
"""A call may take so many times the longest usual time."""

_LEAST, _MOST = -20, 34
"""A millisecond, and more than a day."""

BySize = Mapping[int, int]
"""How many answers took up to ``up_to`` seconds, and more than up to the size before."""

ByTask = Mapping[str, Mapping[str, float]]
"""Task type -> deployment -> the seconds of its engine that one call may take."""


def size_of(seconds: float) -> int:
    """The size of a time; two sizes make a time twice as long."""
    return _LEAST if seconds <= up_to(_LEAST) else min(_MOST, ceil(2 * log2(seconds)))


def up_to(size: int) -> float:
    """The longest time of a size, in seconds."""
    return float(2 ** (size / 2))


def allowed(answers: BySize) -> float | None:
    """The seconds of its engine that the next call may take; ``None``: too little is known.

    What is counted is how long each answer took from the request on, of which its share of the
    engine is a part: a call that comes alone has the engine to itself and takes more of it than
    each of many together, but no longer.
    """
    known = sum(answers.values())
    if known < ENOUGH:
        return None
    so_far = 0
    for size in sorted(answers):
        so_far += answers[size]
        if so_far >= SHARE * known:
            return FACTOR * up_to(size)
    raise AssertionError("unreachable")
