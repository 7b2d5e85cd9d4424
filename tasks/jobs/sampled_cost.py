"""A whole file's cost, estimated from a few of its rows: a figure with its range.

What rows cost where they are asked first varies with their length, and a few tell it well. That an
answer is refused and the row goes to a more expensive tier is rare and costs much: that none of
fifty did says little of the next thousand, so its chance and its price have ranges of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from tierqueue.tasks.jobs.expectation import Estimate, chance_of, student


@dataclass(frozen=True, slots=True)
class Stratum:
    """Rows that are alike: how many there are, and what those that were looked at came to.

    ``rows`` may be an estimate, with the relative error ``unsure``.
    """

    rows: float
    seen: Sequence[float]
    unsure: float = 0.0


def whole(strata: Sequence[Stratum], more: Sequence[float], most_more: float = 0.0) -> Estimate:
    """The sum over all rows of ``strata``, with the range in which it lies at 95 %.

    ``strata`` hold what the rows came to where they were asked first, and ``more`` what those came
    to on top that went on; ``most_more``: the most that can be, where none of the rows did.
    """
    base = _base(strata)
    count = sum(len(stratum.seen) for stratum in strata)
    rows = sum(stratum.rows for stratum in strata)
    if count >= rows:
        return base + Estimate(sum(more), sum(more), sum(more))
    chance = chance_of(len(more), count)
    price = _mean(more, most_more)
    value = rows * len(more) / count * price.value if count and more else 0.0
    return base + Estimate(
        min(value, rows * chance.low * price.low), value, rows * chance.high * price.high
    )


def _base(strata: Sequence[Stratum]) -> Estimate:
    known = [stratum for stratum in strata if stratum.seen]
    if not known:
        return Estimate()
    pooled = _variance([figure for stratum in known for figure in stratum.seen])
    total = variance = least = 0.0
    for stratum in known:
        seen = len(stratum.seen)
        mean = sum(stratum.seen) / seen
        left = max(0.0, 1 - seen / max(stratum.rows, seen))
        # Of two or three rows alike the variance says little: all rows' is a second opinion.
        own = _variance(stratum.seen) if seen > 1 else 0.0
        total += stratum.rows * mean
        least += sum(stratum.seen)
        variance += stratum.rows**2 * max(own, pooled / seen) / seen * left
        variance += (stratum.rows * mean * stratum.unsure) ** 2
    rows, covered = (sum(stratum.rows for stratum in some) for some in (strata, known))
    # Rows of a kind of which none was seen cost as the others do.
    scale = rows / covered if covered else 1.0
    seen = sum(len(stratum.seen) for stratum in known)
    reach = student(max(1, seen - len(known))) * sqrt(variance)
    return Estimate(max(least, total - reach) * scale, total * scale, (total + reach) * scale)


def _mean(figures: Sequence[float], most_more: float) -> Estimate:
    if not figures:
        return Estimate(0.0, 0.0, most_more)
    mean, highest = sum(figures) / len(figures), max(figures)
    if len(figures) == 1:
        return Estimate(0.0, mean, max(2 * mean, most_more))
    reach = student(len(figures) - 1) * sqrt(_variance(figures) / len(figures))
    # Of few the highest that was seen is no limit, and of any the mean is not above the most_more.
    return Estimate(max(0.0, mean - reach), mean, min(mean + reach, max(2 * highest, most_more)))


def _variance(figures: Sequence[float]) -> float:
    if len(figures) < 2:
        return 0.0
    mean = sum(figures) / len(figures)
    return sum((figure - mean) ** 2 for figure in figures) / (len(figures) - 1)
