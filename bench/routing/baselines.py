"""Baselines of a learned router: chance, length, prior, k-NN, and an oracle that knows it all."""

from collections.abc import Callable, Sequence
from random import Random

from tierqueue.router.learned import text
from tierqueue.router.learned.gain_training import LabelledPair
from tierqueue.router.learned.matrix import matrix

NEIGHBOURS = 40
COMPONENTS = 128
PSEUDO_ROWS = 20
"""Rows of the overall mean that a task type's own mean is shrunk with."""

Scores = Sequence[float]
Baseline = Callable[[Sequence[LabelledPair], Sequence[LabelledPair], int], Scores]
"""Scores for the second rows, from labels of the first alone and a seed."""


def chance(train: Sequence[LabelledPair], test: Sequence[LabelledPair], seed: int) -> Scores:
    """A score that knows nothing."""
    del train
    drawn = Random(seed)
    return [drawn.random() for _ in test]


def length(train: Sequence[LabelledPair], test: Sequence[LabelledPair], seed: int) -> Scores:
    """The longer prompt goes to the stronger model."""
    del train, seed
    return [float(len(row.prompt)) for row in test]


def prior(train: Sequence[LabelledPair], test: Sequence[LabelledPair], seed: int) -> Scores:
    """The shrunk mean gain of the task type; within it, by chance."""
    mean = sum(row.gain for row in train) / len(train)
    sums: dict[str, list[int]] = {}
    for row in train:
        sums.setdefault(row.task, []).append(row.gain)
    means = {
        task: (sum(gains) + PSEUDO_ROWS * mean) / (len(gains) + PSEUDO_ROWS)
        for task, gains in sums.items()
    }
    drawn = Random(seed)
    return [means.get(row.task, mean) + 1e-9 * drawn.random() for row in test]


def neighbours(train: Sequence[LabelledPair], test: Sequence[LabelledPair], seed: int) -> Scores:
    """The mean gain of the nearest labelled texts, in a space of 128 dimensions."""
    import numpy as np
    from scipy import sparse
    from sklearn.decomposition import TruncatedSVD
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.preprocessing import normalize

    words, rarity = matrix(row.prompt for row in train)
    space = TruncatedSVD(COMPONENTS, random_state=seed)
    known = space.fit_transform(words)
    asked = [text.weighted(text.counts(row.prompt), rarity) for row in test]
    nearest = KNeighborsRegressor(NEIGHBOURS)
    nearest.fit(normalize(known), [row.gain for row in train])
    found = nearest.predict(normalize(space.transform(sparse.csr_matrix(np.stack(asked)))))
    return [float(score) for score in found]


def oracle(train: Sequence[LabelledPair], test: Sequence[LabelledPair], seed: int) -> Scores:
    """Who knows both answers beforehand."""
    del train, seed
    return [float(row.gain) for row in test]


BASELINES: dict[str, Baseline] = {
    "random": chance,
    "length": length,
    "prior": prior,
    "knn": neighbours,
    "oracle": oracle,
}
