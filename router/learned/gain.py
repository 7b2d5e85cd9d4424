"""The gain predictor: how likely a more expensive tier is right where the cheaper one is wrong.

A prior for the task type and a small residual from the text. What it predicts is the difference of
the two tiers' chances to be right: only that is worth money.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tierqueue.router.errors import InvalidArtefact
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.learned import artefact, text
from tierqueue.router.learned.surface import SIGNS, surfaces
from tierqueue.router.money import NanoUSD
from tierqueue.router.signals import LEAST, Predicted

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
    ``lost`` is the share of items of which the cheaper one alone was right. Base, offsets and
    weights have two columns: of the gain, and of the cheaper tier's chance.
    """

    version: str
    cheaper: Tier
    stronger: Tier
    argument: str
    lost: float
    base: "Numbers"
    tasks: "dict[str, Numbers]"
    rarity: "Numbers"
    weights: "Numbers"
    scale: Scale
    wave_weights: "Numbers"

    def predict(self, task: str, prompt: str) -> float:
        """The expected gain; of a task type it never saw, from the text alone."""
        return self.chances(task, [prompt])[0].gain

    def chances(self, task: str, prompts: Sequence[str]) -> list[Chances]:
        """Of each text; many at once cost each a part of what one alone does."""
        import numpy as np

        if not prompts:
            return []
        offset = self.base + self.tasks.get(task, 0.0)
        words = [text.scores(part, self.rarity, self.weights) for part in text.together(prompts)]
        waves = self.scale.waves(surfaces(prompts)) @ self.wave_weights
        gains, rights = (np.concatenate(words) + waves + offset).T.tolist()
        return [
            Chances(gain, min(1.0, max(0.0, right)))
            for gain, right in zip(gains, rights, strict=True)
        ]

    def predicted(
        self, task: str, prompts: Sequence[str], mistake: NanoUSD | None
    ) -> list[Predicted]:
        """The same as routing reads it; ``mistake``: what a wrong answer costs."""
        return [self._predicted(one, mistake) for one in self.chances(task, prompts)]

    def _predicted(self, found: Chances, mistake: NanoUSD | None) -> Predicted:
        right = min(1.0, max(LEAST, found.cheaper))
        above = min(1.0, max(LEAST, found.cheaper + found.gain))
        wrong = max(LEAST, 1.0 - found.cheaper)
        rescued = min(1.0, max(LEAST, (found.gain + self.lost) / wrong))
        return Predicted(
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
        names = held.fact("tasks", list)
        offsets = held.array("task_offsets", len(names), 2)
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
            {str(name): offset for name, offset in zip(names, offsets, strict=True)},
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
