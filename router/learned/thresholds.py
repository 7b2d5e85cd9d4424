"""A threshold of confidence, certified on answers that somebody judged."""

from collections.abc import Sequence

from tierqueue.router.learned.certify import (
    Certificate,
    NoCertificate,
    among_kept,
    certify,
    fewest_rows,
)

STEPS = 32
"""So many thresholds are tried."""

ROOMY = 2
"""The strictest keeps so many times the fewest answers that prove anything, or all there are."""


def calibrated(
    confidences: Sequence[float], wrong: Sequence[bool], alpha: float, delta: float
) -> Certificate | NoCertificate:
    """The lowest confidence from which on at most ``alpha`` of the answers are wrong, but for a
    chance of ``delta``. Which thresholds are tried follows from the confidences alone, never from
    what is wrong.
    """
    rows = len(confidences)
    if not rows:
        return certify([], alpha, delta)
    ordered = sorted(confidences, reverse=True)
    start = min(rows, ROOMY * fewest_rows(alpha, delta))
    kept = {start + (rows - start) * step // (STEPS - 1) for step in range(STEPS)}
    thresholds = {ordered[count - 1] for count in kept if count < rows} | {0.0}
    return certify(among_kept(confidences, wrong, sorted(thresholds, reverse=True)), alpha, delta)
