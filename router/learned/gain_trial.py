"""A gain predictor on trial: how well it spends the stronger tier's calls, on rows it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierqueue.router.learned.gain import Gain
from tierqueue.router.learned.gain_training import LabelledPair, train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

LEAST = 100
"""Rows from which on a predictor is tried at all."""

CHANCE = 0.5
"""What a score that knows nothing reaches."""

_FOLDS = 5
_RESAMPLED = 400
_SEED = 20_261_127


@dataclass(frozen=True, slots=True)
class GainTrial:
    """The area under the curve of the gap recovered against the stronger tier's calls (APGR), on
    rows that did not train it, with its range at 95 %. 0.5 is what chance reaches.

    ``cheaper`` and ``stronger``: the shares of the rows on which each tier is right.
    """

    apgr: float
    low: float
    high: float
    cheaper: float
    stronger: float

    @property
    def better_than_chance(self) -> bool:
        """Whether that is shown."""
        return self.low > CHANCE


def tried(rows: Sequence[LabelledPair]) -> GainTrial | None:
    """Each fifth of the rows judged by a predictor of the others; ``None`` where the stronger tier
    is right no more often than the cheaper one, so that there is nothing to predict.
    """
    import numpy as np

    drawn = np.random.RandomState(_SEED)
    mixed = [rows[int(at)] for at in drawn.permutation(len(rows))]
    scores = np.zeros(len(mixed))
    for fold in range(_FOLDS):
        known = [row for at, row in enumerate(mixed) if at % _FOLDS != fold]
        predictor = Gain.load(train(known))
        for at in range(fold, len(mixed), _FOLDS):
            row = mixed[at]
            scores[at] = predictor.chances(row.task, [row.prompt], [row.traits])[0].gain
    weights = np.array([row.weight for row in mixed])
    gains = np.array([row.gain for row in mixed], np.float64) * weights
    if gains.sum() <= 0:
        return None
    areas = []
    for _ in range(_RESAMPLED):
        some = drawn.randint(0, len(mixed), len(mixed))
        if gains[some].sum() > 0:
            areas.append(_area(scores[some], gains[some], weights[some]))
    low, high = np.percentile(areas, [2.5, 97.5])
    return GainTrial(
        _area(scores, gains, weights),
        float(low),
        float(high),
        float(np.average([row.cheap_right for row in mixed], weights=weights)),
        float(np.average([row.expensive_right for row in mixed], weights=weights)),
    )


def _area(scores: "Numbers", gains: "Numbers", weights: "Numbers") -> float:
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    recovered = np.concatenate([[0.0], np.cumsum(gains[order])]) / gains.sum()
    calls = np.concatenate([[0.0], np.cumsum(weights[order])]) / weights.sum()
    return float(np.trapezoid(recovered, calls))
