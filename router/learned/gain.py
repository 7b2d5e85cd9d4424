"""The gain predictor: how likely a more expensive tier is right where the cheaper one is wrong.

A prior for the task type, smaller ones for tenant, template and language, and a small residual from
the text. What it predicts is the difference of the two tiers' chances to be right: only that is
worth money.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from tierqueue.router.errors import InvalidArtefact
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.learned import artefact, text
from tierqueue.router.learned.language import language
from tierqueue.router.learned.surface import SIGNS, surfaces
from tierqueue.router.money import NanoUSD
from tierqueue.router.signals import LEAST, Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float32]

KIND = "gain"
WAVES = 512
"""Smooth functions of a text's surface that are weighed."""

_FAR = 4.0
"""Deviations from the mean that count: what lies further out is looked at as if it lay there."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How the surface of a text is seen: mean and deviation of each sign, waves and their means."""

    mean: "Numbers"
    deviation: "Numbers"
    projection: "Numbers"
    phase: "Numbers"

    def waves(self, signs: "NDArray[np.float64]") -> "Numbers":
        """``WAVES`` numbers, for the signs of one text or of many."""
        import numpy as np

        away = np.clip((signs - self.mean) / self.deviation, -_FAR, _FAR) / np.sqrt(SIGNS)
        seen: Numbers = np.cos(away.astype(np.float32) @ self.projection + self.phase)
        return seen


@dataclass(frozen=True, slots=True)
class Traits:
    """What else is known of an item before it runs: who pays (``tenant``), and by which
    ``template`` its prompt is made, such as a hash of all its other arguments.
    """

    tenant: str | None = None
    template: str | None = None

    def known(self, task: str, content: str) -> "Iterator[Trait]":
        """All that a prior may be learned for. Who pays is told by a hash: artefacts are copied."""
        yield "task", task
        for what, name in (("tenant", self.tenant), ("template", self.template)):
            if name is not None:
                yield what, sha256(f"{what}:{name}".encode()).hexdigest()[:16]
        if (spoken := language(content)) is not None:
            yield "language", spoken


Trait = tuple[str, str]
"""What it is (``task``, ``tenant``, ``template``, ``language``), and which."""

NOTHING_ELSE = Traits()


@dataclass(frozen=True, slots=True)
class Chances:
    """Of one text: the ``gain``, about -1 to 1, by which a right answer is likelier from the more
    expensive tier; and the chance, 0 to 1, that the ``cheaper`` tier is right.
    """

    gain: float
    cheaper: float


@dataclass(frozen=True, slots=True)
class Gain:
    """A trained predictor; ``version`` is said wherever it had a part in a decision.

    It compares the ``cheaper`` tier with the ``stronger`` one, by the text of ``argument``.
    ``lost`` is the share of items of which the cheaper one alone was right. Base, the ``priors``
    and weights have two columns: of the gain, and of the cheaper tier's chance.
    """

    version: str
    cheaper: Tier
    stronger: Tier
    argument: str
    lost: float
    base: "Numbers"
    priors: "Mapping[Trait, Numbers]"
    rarity: "Numbers"
    weights: "Numbers"
    scale: Scale
    wave_weights: "Numbers"

    @property
    def tasks(self) -> list[str]:
        """The task types that it was trained for."""
        return sorted(name for what, name in self.priors if what == "task")

    def predict(self, task: str, prompt: str) -> float:
        """The expected gain; of a task type it never saw, from the text alone."""
        return self.chances(task, [prompt])[0].gain

    def chances(
        self, task: str, prompts: Sequence[str], traits: Sequence[Traits] | None = None
    ) -> list[Chances]:
        """Of each text; many at once cost each a part of what one alone does. ``traits``: what else
        is known of each.
        """
        import numpy as np

        if not prompts:
            return []
        asked = zip(prompts, traits or [NOTHING_ELSE] * len(prompts), strict=True)
        offset = np.stack([self._prior(one, task, content) for content, one in asked])
        words = [text.scores(part, self.rarity, self.weights) for part in text.together(prompts)]
        waves = self.scale.waves(surfaces(prompts)) @ self.wave_weights
        gains, rights = (np.concatenate(words) + waves + offset).T.tolist()
        return [
            Chances(gain, min(1.0, max(0.0, right)))
            for gain, right in zip(gains, rights, strict=True)
        ]

    def _prior(self, traits: Traits, task: str, content: str) -> "Numbers":
        found = self.base
        for trait in traits.known(task, content):
            if (more := self.priors.get(trait)) is not None:
                found = found + more
        return found

    def predicted(
        self,
        task: str,
        prompts: Sequence[str],
        mistake: NanoUSD | None,
        traits: Sequence[Traits] | None = None,
    ) -> list[Prediction]:
        """The same as routing reads it; ``mistake``: what a wrong answer costs."""
        return [self._predicted(one, mistake) for one in self.chances(task, prompts, traits)]

    def _predicted(self, found: Chances, mistake: NanoUSD | None) -> Prediction:
        right = min(1.0, max(LEAST, found.cheaper))
        above = min(1.0, max(LEAST, found.cheaper + found.gain))
        wrong = max(LEAST, 1.0 - found.cheaper)
        rescued = min(1.0, max(LEAST, (found.gain + self.lost) / wrong))
        return Prediction(
            self.version,
            self.cheaper,
            self.stronger,
            round(right, 4),
            round(above, 4),
            round(rescued, 4),
            mistake,
        )

    @classmethod
    def load(cls, content: bytes, expected: str | None = None) -> Self:
        """The predictor in an artefact; raises ``InvalidArtefact``."""
        held = artefact.read(content, KIND, expected)
        priors = _priors(held)
        tiers = [held.fact(name, str) for name in ("cheaper", "stronger")]
        ranks = [TIERS.index(Tier(name)) if name in set(Tier) else -1 for name in tiers]
        if not 0 <= ranks[0] < ranks[1]:
            raise InvalidArtefact(
                f"the artefact {held.version} does not compare a tier with one above it: train it"
                " anew"
            )
        return cls(
            held.version,
            Tier(tiers[0]),
            Tier(tiers[1]),
            held.fact("argument", str),
            float(held.fact("lost", float)),
            held.array("base", 2),
            priors,
            held.array("rarity", text.WIDTH),
            held.array("weights", text.WIDTH, 2),
            Scale(
                held.array("mean", SIGNS),
                held.array("deviation", SIGNS),
                held.array("projection", SIGNS, WAVES),
                held.array("phase", WAVES),
            ),
            held.array("wave_weights", WAVES, 2),
        )


def _priors(held: artefact.Artefact) -> "Mapping[Trait, Numbers]":
    traits = held.fact("traits", list)
    if any(not isinstance(trait, list) or len(trait) != 2 for trait in traits):
        raise InvalidArtefact(f"the artefact {held.version} does not say its traits: train it anew")
    rows = held.array("priors", len(traits), 2)
    return {(str(what), str(name)): row for (what, name), row in zip(traits, rows, strict=True)}
