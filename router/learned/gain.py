"""The gain predictor: how likely a more expensive tier is right where the cheaper one is wrong.

A prior for the task type and a small residual from the text. What it predicts is the difference of
the two tiers' chances to be right: only that is worth money.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tierqueue.router.learned import artefact, text
from tierqueue.router.learned.surface import SIGNS, surface

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
class Gain:
    """A trained predictor; ``version`` is said wherever it had a part in a decision."""

    version: str
    base: float
    tasks: dict[str, float]
    rarity: "Numbers"
    weights: "Numbers"
    scale: Scale
    wave_weights: "Numbers"

    def predict(self, task: str, prompt: str) -> float:
        """The expected gain, about -1 to 1; of a task type it never saw, from the text alone."""
        words = text.weighted(text.counts(prompt), self.rarity)
        waves = self.scale.waves(surface(prompt))
        return (
            self.base
            + self.tasks.get(task, 0.0)
            + float(words @ self.weights + waves @ self.wave_weights)
        )

    @classmethod
    def load(cls, content: bytes, expected: str | None = None) -> Self:
        """The predictor in an artefact; raises ``InvalidArtefact``."""
        held = artefact.read(content, KIND, expected)
        names = held.fact("tasks", list)
        offsets = held.array("task_offsets", len(names))
        return cls(
            held.version,
            float(held.fact("base", float)),
            {str(name): float(offset) for name, offset in zip(names, offsets, strict=True)},
            held.array("rarity", text.WIDTH),
            held.array("weights", text.WIDTH),
            Scale(
                held.array("mean", SIGNS),
                held.array("deviation", SIGNS),
                held.array("projection", SIGNS, WAVES),
                held.array("phase", WAVES),
            ),
            held.array("wave_weights", WAVES),
        )
