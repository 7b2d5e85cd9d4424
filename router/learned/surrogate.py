"""A surrogate: a linear classifier that answers what it is certified for and defers all else.

It stands for a tier whose accepted answers it was trained from. Two tests of its own come before
the threshold: a text that no label claims, or that is near to none, is unlike what it has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

from tierqueue.router.errors import InvalidArtefact
from tierqueue.router.learned import artefact, text
from tierqueue.router.learned.embedding import Embedding, Meaning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float32]

KIND = "surrogate"
STEPS = 127
"""Whole numbers that a weight is stored in, either side of nothing."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What the surrogate would answer: the ``margin`` is the lead over the second label; ``claim``
    is how far the label claims the text, ``near`` how near the text is to any label's own (0 to 1).
    """

    label: str
    margin: float
    claim: float
    near: float


@dataclass(frozen=True, slots=True)
class GuessBounds:
    """What a guess must reach to be an answer."""

    margin: float
    claim: float
    near: float

    def hold(self, guess: Guess) -> bool:
        """Whether a guess is an answer."""
        return guess.margin >= self.margin and self.familiar(guess)

    def familiar(self, guess: Guess) -> bool:
        """Whether the text is like what it was trained on."""
        return guess.claim >= self.claim and guess.near >= self.near


@dataclass(frozen=True, slots=True)
class Linear:
    """Labels with a row of weights each, and the mean direction of each label's texts.

    Where there is a ``meaning``, its rows of each follow those of the n-grams.
    """

    labels: tuple[str, ...]
    rarity: "Numbers"
    weights: "Numbers"
    bias: "Numbers"
    centres: "Numbers"
    meaning: Meaning | None = None

    def guess(self, content: str) -> Guess:
        """The likeliest label of a text; raises as ``Meaning.vector`` does."""
        import numpy as np

        words = text.weighted(text.counts(content), self.rarity)
        if self.meaning is not None:
            words = np.concatenate([words, self.meaning.vector(content)])
        return self.of(words)

    def of(self, words: "Numbers") -> Guess:
        """The same of a text that has been weighted."""
        import numpy as np

        held = np.flatnonzero(words)
        some = words[held]
        scores = some @ self.weights[held] + self.bias
        blocks = 2 if self.meaning is None else 3
        near = float((some @ self.centres[held]).max()) / blocks**0.5
        best = int(scores.argmax())
        second = float(np.partition(scores, -2)[-2])
        return Guess(self.labels[best], float(scores[best]) - second, float(scores[best]), near)


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What is certified: of the answers at most ``alpha`` differ from those of the tier it stands
    for, but for a chance of ``delta`` that the certificate itself is wrong.
    """

    alpha: float
    delta: float


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A trained and certified surrogate for one task type.

    ``argument`` names the argument that holds the text; ``surroundings`` is the hash of all the
    others and of the prompt's version, which must be the same as they were in training.
    """

    version: str
    task: str
    argument: str
    surroundings: str
    linear: Linear
    bounds: GuessBounds
    promise: Guarantee

    def answer(self, content: str) -> Guess | None:
        """What it answers; ``None`` where it defers."""
        try:
            guess = self.linear.guess(content)
        except InvalidArtefact:
            return None
        return guess if self.bounds.hold(guess) else None

    @classmethod
    def load(
        cls, content: bytes, expected: str | None = None, embedding: Embedding | None = None
    ) -> Self:
        """The surrogate in an artefact; raises ``InvalidArtefact``, also where ``embedding`` is not
        the one that it was trained with.
        """
        return cls.of(artefact.read(content, KIND, expected), embedding)

    @classmethod
    def of(cls, held: artefact.Artefact, embedding: Embedding | None = None) -> Self:
        """The same of an artefact that was read."""
        found = None if embedding is None else embedding.sha256
        if found != (needed := embedding_of(held)):
            raise InvalidArtefact(
                f"{held.version} was trained with {_called(needed)}, and here is {_called(found)}"
            )
        meaning, width = None, text.WIDTH
        if embedding is not None:
            meaning = Meaning(embedding, held.array("middle", embedding.width))
            width += embedding.width
        labels = tuple(str(label) for label in held.fact("labels", list))
        if len(labels) < 2:
            raise InvalidArtefact(f"the artefact {held.version} has fewer than two labels")
        numbers = {name: held.fact(name, float) for name in ("margin", "claim", "near")}
        promise = Guarantee(held.fact("alpha", float), held.fact("delta", float))
        return cls(
            held.version,
            held.fact("task", str),
            held.fact("argument", str),
            held.fact("surroundings", str),
            Linear(
                labels,
                held.array("rarity", text.WIDTH),
                unpacked(held, "weights", width, len(labels)),
                held.array("bias", len(labels)),
                unpacked(held, "centres", width, len(labels)),
                meaning,
            ),
            GuessBounds(**numbers),
            promise,
        )


def embedding_of(held: artefact.Artefact) -> str | None:
    """The SHA-256 of the embedding that a surrogate was trained with; ``None``: with none."""
    found: str | None = held.fact("embedding", str) if "embedding" in held.facts else None
    return found


def _called(embedding: str | None) -> str:
    return "no embedding" if embedding is None else f"the embedding {embedding[:12]}"


def surroundings(arguments: Mapping[str, Any], argument: str, prompt_version: str) -> str:
    """The hash of everything a label depends on beside the text: instructions, labels, prompt."""
    import json

    others = {name: value for name, value in arguments.items() if name != argument}
    said = json.dumps([others, prompt_version], sort_keys=True, ensure_ascii=True)
    return sha256(said.encode()).hexdigest()


def packed(weights: "Numbers") -> "tuple[NDArray[np.int8], Numbers]":
    """Weights (a column a label) in one byte each, and the step of each column."""
    import numpy as np

    steps = np.abs(weights).max(axis=0) / STEPS
    steps = np.where(steps > 0, steps, 1.0).astype(np.float32)
    return np.round(weights / steps).astype(np.int8), steps


def unpacked(held: artefact.Artefact, name: str, width: int, labels: int) -> "Numbers":
    """Weights as ``packed`` stored them."""
    import numpy as np

    stored = held.array(name, width, labels)
    if stored.dtype != np.int8:
        raise InvalidArtefact(f"the array {name!r} of the artefact {held.version} is not of bytes")
    weights: Numbers = stored * held.array(f"{name}_steps", labels).astype(np.float32)
    return weights
