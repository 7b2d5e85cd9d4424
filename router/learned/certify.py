"""Thresholds with a guarantee: Learn-then-Test along a fixed sequence of exact binomial tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThresholdTrial:
    """What a threshold does on rows whose answers are known: ``wrong`` of ``rows``."""

    threshold: float
    rows: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """The loosest threshold whose share of wrong is at most ``alpha``, but for a chance of
    ``delta``; ``bound`` is what can be said of the share at the same chance.
    """

    trial: ThresholdTrial
    alpha: float
    delta: float
    bound: float

    @property
    def threshold(self) -> float:
        """Rows that score at least so much are kept."""
        return self.trial.threshold


@dataclass(frozen=True, slots=True)
class NoCertificate:
    """No threshold could be certified: ``why``, and what it would take, in a sentence each."""

    why: str
    takes: str


def fewest_rows(alpha: float, delta: float) -> int:
    """Rows without any wrong one that prove a share of at most ``alpha``."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def tail(wrong: int, rows: int, share: float) -> float:
    """The chance of at most ``wrong`` of ``rows`` where each is wrong with chance ``share``."""
    if wrong >= rows:
        return 1.0
    if share <= 0.0 or share >= 1.0:
        return 1.0 if share <= 0.0 else 0.0
    logs = [
        math.lgamma(rows + 1)
        - math.lgamma(count + 1)
        - math.lgamma(rows - count + 1)
        + count * math.log(share)
        + (rows - count) * math.log1p(-share)
        for count in range(wrong + 1)
    ]
    highest = max(logs)
    return min(1.0, math.exp(highest) * math.fsum(math.exp(log - highest) for log in logs))


def upper_bound(wrong: int, rows: int, delta: float) -> float:
    """The one-sided Clopper-Pearson bound: the true share is above it with chance ``delta``."""
    low, high = 0.0, 1.0
    if rows == 0 or wrong >= rows:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(wrong, rows, middle) > delta else (low, middle)
    return high


_TAIL = 0.025
"""Each side of an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and the range in which its true value lies at 95 %."""

    low: float
    value: float
    high: float


def share_of(some: int, rows: int) -> Interval:
    """The share ``some`` of ``rows``, in its exact interval; of no rows nothing is known."""
    if rows == 0:
        return Interval(0.0, 0.0, 1.0)
    low = 1.0 - upper_bound(rows - some, rows, _TAIL)
    return Interval(low, some / rows, upper_bound(some, rows, _TAIL))


def certify(
    trials: Sequence[ThresholdTrial], alpha: float, delta: float
) -> Certificate | NoCertificate:
    """Go through ``trials`` from strict to loose, until one fails its test at level ``delta``.

    The thresholds must be fixed before the rows they are tried on were looked at; then the chance
    that the certified one's true share of wrong is above ``alpha`` is at most ``delta``. Trials too
    strict to pass whatever they hold should not stand at the beginning: see ``fewest_rows``.
    """
    if not 0.0 < alpha < 1.0 or not 0.0 < delta < 1.0:
        raise ValueError(f"alpha and delta are between 0 and 1, not {alpha} and {delta}")
    passed: ThresholdTrial | None = None
    for trial in trials:
        if tail(trial.wrong, trial.rows, alpha) > delta:
            break
        passed = trial
    if passed is not None:
        return Certificate(passed, alpha, delta, upper_bound(passed.wrong, passed.rows, delta))
    return _cannot(trials, alpha, delta)


def over_all(
    scores: Sequence[float], wrong: Sequence[bool], thresholds: Sequence[float]
) -> list[ThresholdTrial]:
    """Trials of the share of ALL rows that are kept and wrong: harm over the whole of the work."""
    kept = _counted(scores, wrong, thresholds)
    return [ThresholdTrial(threshold, len(scores), errors) for threshold, _, errors in kept]


def among_kept(
    scores: Sequence[float], wrong: Sequence[bool], thresholds: Sequence[float]
) -> list[ThresholdTrial]:
    """Trials of the share of KEPT rows that are wrong: agreement of what is answered."""
    return [ThresholdTrial(*kept) for kept in _counted(scores, wrong, thresholds)]


def _counted(
    scores: Sequence[float], wrong: Sequence[bool], thresholds: Sequence[float]
) -> list[tuple[float, int, int]]:
    ordered = sorted(zip(scores, wrong, strict=True), key=lambda row: -row[0])
    found: list[tuple[float, int, int]] = []
    rows = errors = 0
    for threshold in sorted(thresholds, reverse=True):
        while rows < len(ordered) and ordered[rows][0] >= threshold:
            errors += ordered[rows][1]
            rows += 1
        found.append((threshold, rows, errors))
    return found


def _cannot(trials: Sequence[ThresholdTrial], alpha: float, delta: float) -> NoCertificate:
    needed = fewest_rows(alpha, delta)
    if not trials or trials[0].rows < needed:
        held = trials[0].rows if trials else 0
        return NoCertificate(
            f"the strictest threshold keeps {held} rows, and {needed} without a wrong one are the "
            f"fewest that prove a share of at most {alpha:g} at delta {delta:g}",
            f"It would take about {max(2, math.ceil(needed / max(held, 1)))} times as many rows "
            "with known answers, or a larger alpha.",
        )
    first = trials[0]
    observed = first.wrong / first.rows
    if observed < alpha:
        rows = first.rows
        while tail(round(observed * rows), rows, alpha) > delta and rows < 1 << 40:
            rows *= 2
        return NoCertificate(
            f"{first.wrong} of {first.rows} are wrong even at the strictest threshold: too few "
            f"rows to prove a share of at most {alpha:g} at delta {delta:g}",
            f"It would take about {rows // first.rows} times as many rows with known answers, or "
            "a larger alpha.",
        )
    return NoCertificate(
        f"{first.wrong} of {first.rows} are wrong even at the strictest threshold, which is more "
        f"than {alpha:g}",
        "More rows alone will not help: it takes features or answers that are right more often, "
        "or a larger alpha.",
    )
