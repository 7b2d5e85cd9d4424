"""Trains a surrogate from accepted answers and certifies it, or says what that would take."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tierqueue.router.learned import artefact
from tierqueue.router.learned.certify import (
    Certificate,
    NoCertificate,
    among_kept,
    certify,
    fewest_rows,
)
from tierqueue.router.learned.embedding import Embedding, Meaning
from tierqueue.router.learned.matrix import matrix
from tierqueue.router.learned.surrogate import KIND, Guarantee, Guess, GuessBounds, Linear, packed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Numbers = NDArray[np.float32]

FOLDS = 4
"""Parts of the answers; each is judged by a classifier that was trained on the others."""

SET = 0.05
"""Share of the answers that set the bounds, and so have no part in the certificate."""

UNCLAIMED, FAR = 0.05, 0.01
"""Shares of familiar texts that its two tests of what is unfamiliar turn away."""

STRICT, MOST, ROOMY, STEPS = 0.05, 0.5, 4, 60
"""The strictest threshold keeps at least the first share of texts and at most the second, and, if
it can, so many times the fewest rows that prove anything; so many thresholds are tried."""

FEWEST, SETTING = 200, 50
"""Answers below which nothing is tried, and those that set the bounds at the least."""

_SOFTNESS = 1.0
"""Of the support vector machine (its C): chosen once, on parts of one training set."""


@dataclass(frozen=True, slots=True)
class TrainingAnswer:
    """A text and the label that was accepted for it."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class SurrogateScope:
    """What a surrogate is for; see ``Surrogate``."""

    task: str
    argument: str
    surroundings: str


@dataclass(frozen=True, slots=True)
class HeldOutGuess:
    """What a classifier that never saw a text said of it, and the answer that was accepted."""

    guess: Guess
    label: str


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A classifier of all answers; what sets its bounds, and what certifies it."""

    linear: Linear
    setting: Sequence[HeldOutGuess]
    certifying: Sequence[HeldOutGuess]


@dataclass(frozen=True, slots=True)
class CalibratedBounds:
    """Bounds with their certificate; ``covered`` is the share of the certifying rows answered."""

    bounds: GuessBounds
    certificate: Certificate
    covered: float


def train(
    answers: Sequence[TrainingAnswer], seed: int = 0, embedding: Embedding | None = None
) -> TrainingResult | NoCertificate:
    """Train on all ``answers``, and judge them in parts by classifiers that did not see the part.

    Raises ``InvalidArtefact`` where the ``embedding`` refuses a text.

    The classifiers that judge are trained on fewer answers than the one that will answer, so what
    is said of them is rather too little than too much.
    """
    import numpy as np

    mixed = [answers[row] for row in np.random.RandomState(seed).permutation(len(answers))]
    labels = sorted({answer.label for answer in mixed})
    if len(mixed) < FEWEST or len(labels) < 2:
        return NoCertificate(
            f"there are {len(mixed)} accepted answers with {len(labels)} different labels",
            f"It takes at least {FEWEST} answers, and two labels.",
        )
    words, rarity = matrix(answer.text for answer in mixed)
    meaning = None
    if embedding is not None:
        from scipy import sparse

        meaning = Meaning.of_texts(embedding, [answer.text for answer in mixed])
        vectors = np.stack([meaning.vector(answer.text) for answer in mixed])
        words = sparse.hstack([words, sparse.csr_matrix(vectors)], format="csr")
    at = np.array([labels.index(answer.label) for answer in mixed])
    judged: dict[int, HeldOutGuess] = {}
    for part in range(FOLDS):
        others = np.flatnonzero(np.arange(len(mixed)) % FOLDS != part)
        if len(set(at[others])) < 2:
            return NoCertificate(
                f"all but a few of the {len(mixed)} accepted answers have one label",
                "It takes more answers with other labels; one label alone needs no surrogate.",
            )
        linear = _fitted(words[others], at[others], labels, rarity, meaning)
        for row in range(part, len(mixed), FOLDS):
            guess = linear.of(words[row].toarray()[0])
            judged[row] = HeldOutGuess(guess, mixed[row].label)
    setting = max(SETTING, round(len(mixed) * SET))
    rows = [judged[row] for row in range(len(mixed))]
    linear = _fitted(words, at, labels, rarity, meaning)
    return TrainingResult(linear, rows[:setting], rows[setting:])


def calibrate(trained: TrainingResult, promise: Guarantee) -> CalibratedBounds | NoCertificate:
    """The loosest bounds under which the promise is certified."""
    import numpy as np

    seen = [row.guess for row in trained.setting]
    tests = GuessBounds(
        -1.0,
        float(np.quantile([guess.claim for guess in seen], UNCLAIMED)),
        float(np.quantile([guess.near for guess in seen], FAR)),
    )
    familiar = [guess.margin for guess in seen if tests.familiar(guess)]
    rows = len(trained.certifying)
    # With few rows one wrong answer fails the first test, and nothing is ever certified.
    start = ROOMY * fewest_rows(promise.alpha, promise.delta) / rows
    share = min(MOST, max(STRICT, start)) * len(seen) / len(familiar)
    kept = np.linspace(min(1.0, share), 1.0, STEPS)
    thresholds = [float(threshold) for threshold in np.quantile(familiar, 1 - kept)]
    thresholds[-1] = 0.0
    scores = [row.guess.margin if tests.familiar(row.guess) else -1.0 for row in trained.certifying]
    wrong = [row.guess.label != row.label for row in trained.certifying]
    certificate = certify(among_kept(scores, wrong, thresholds), promise.alpha, promise.delta)
    if isinstance(certificate, NoCertificate):
        return certificate
    bounds = replace(tests, margin=certificate.threshold)
    return CalibratedBounds(bounds, certificate, certificate.trial.rows / rows)


def written(linear: Linear, purpose: SurrogateScope, calibrated: CalibratedBounds) -> bytes:
    """The surrogate as an artefact."""
    weights, weight_steps = packed(linear.weights)
    centres, centre_steps = packed(linear.centres)
    bounds, certificate = calibrated.bounds, calibrated.certificate
    facts = {
        "task": purpose.task,
        "argument": purpose.argument,
        "surroundings": purpose.surroundings,
        "labels": list(linear.labels),
        "margin": bounds.margin,
        "claim": bounds.claim,
        "near": bounds.near,
        "alpha": certificate.alpha,
        "delta": certificate.delta,
        "certified_rows": certificate.trial.rows,
        "certified_wrong": certificate.trial.wrong,
        "covered": calibrated.covered,
    }
    numbers: dict[str, NDArray[np.float32] | NDArray[np.int8]] = {
        "rarity": linear.rarity,
        "weights": weights,
        "weights_steps": weight_steps,
        "bias": linear.bias,
        "centres": centres,
        "centres_steps": centre_steps,
    }
    if linear.meaning is not None:
        facts["embedding"] = linear.meaning.embedding.sha256
        numbers["middle"] = linear.meaning.middle
    return artefact.write(KIND, facts, numbers)


def _fitted(
    words: "csr_matrix",
    at: "NDArray[np.intp]",
    labels: Sequence[str],
    rarity: "Numbers",
    meaning: Meaning | None,
) -> Linear:
    import numpy as np
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=_SOFTNESS, random_state=0).fit(words, at)
    found = machine.classes_
    coefficients, intercepts = machine.coef_.T, machine.intercept_
    if len(found) == 2:
        coefficients = np.hstack([-coefficients, coefficients])
        intercepts = np.concatenate([-intercepts, intercepts])
    linear = Linear(
        tuple(labels[number] for number in found),
        rarity,
        coefficients.astype(np.float32),
        intercepts.astype(np.float32),
        _centres(words, np.searchsorted(found, at)),
        meaning,
    )
    return _as_stored(linear)


def _centres(words: "csr_matrix", at: "NDArray[np.intp]") -> "NDArray[np.float32]":
    import numpy as np
    from scipy import sparse

    member = sparse.csr_matrix((np.ones(len(at)), (at, np.arange(len(at)))))
    summed = (member @ words).toarray()
    lengths = np.linalg.norm(summed, axis=1, keepdims=True)
    centres: NDArray[np.float32] = (summed / np.where(lengths > 0, lengths, 1)).T.astype(np.float32)
    return np.ascontiguousarray(centres)


def _as_stored(linear: Linear) -> Linear:
    """The classifier as it will be read: what is certified is what will answer."""
    weights, weight_steps = packed(linear.weights)
    centres, centre_steps = packed(linear.centres)
    return replace(linear, weights=weights * weight_steps, centres=centres * centre_steps)
