"""Trains the gain predictor: one ridge regression over task types, words and surface."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierqueue.router.item import Tier
from tierqueue.router.learned import artefact, text
from tierqueue.router.learned.gain import KIND, WAVES, Scale
from tierqueue.router.learned.matrix import matrix
from tierqueue.router.learned.surface import SIGNS, surfaces

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TASK, _WORDS, _WAVES = 0.05, 0.075, 0.05
"""Prior variances of the three parts, in units of the noise: chosen once, by cross-validation."""

_SEED = 20_261_126
"""Of the waves: the same labels train the same predictor."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """An item that both tiers answered, and who was right."""

    task: str
    prompt: str
    cheap_right: bool
    expensive_right: bool

    @property
    def gain(self) -> int:
        """What the more expensive tier brought: 1, 0 or, where it alone was wrong, -1."""
        return int(self.expensive_right) - int(self.cheap_right)


@dataclass(frozen=True, slots=True)
class Compared:
    """Whose answers the labels compare, and which argument of a call holds the text."""

    cheaper: Tier = Tier.GPU
    stronger: Tier = Tier.FRONTIER
    argument: str = "text"


def train(rows: Sequence[Labelled], compared: Compared = Compared()) -> bytes:
    """A predictor trained from ``rows`` (at least two), as an artefact."""
    import numpy as np
    from scipy import sparse
    from scipy.sparse.linalg import lsqr

    if len(rows) < 2:
        raise ValueError(f"{len(rows)} rows are too few to train from")
    wanted = np.array([[row.gain, row.cheap_right] for row in rows], np.float64)
    base = wanted.mean(axis=0)
    names = sorted({row.task for row in rows})
    words, rarity = matrix(row.prompt for row in rows)
    signs = surfaces([row.prompt for row in rows])
    scale = _scale(signs)
    waves = scale.waves(signs)
    middle = waves.mean(axis=0)
    at = [names.index(row.task) for row in rows]
    tasks = sparse.csr_matrix((np.ones(len(rows)), (range(len(rows)), at)))
    strengths = (_TASK**0.5, _WORDS**0.5, (2 * _WAVES / WAVES) ** 0.5)
    blocks = [tasks, words, sparse.csr_matrix(waves - middle)]
    design = sparse.hstack(
        [block * strength for block, strength in zip(blocks, strengths, strict=True)]
    ).tocsr()
    solved = np.stack(
        [
            lsqr(design, column, damp=1.0, atol=1e-6, btol=1e-6, iter_lim=300)[0]
            for column in (wanted - base).T
        ],
        axis=1,
    )
    ends = np.cumsum([len(names), text.WIDTH])
    offsets, weights, wave_weights = (
        part * strength for part, strength in zip(np.split(solved, ends), strengths, strict=True)
    )
    numbers: dict[str, NDArray[np.float32]] = {
        "base": base - middle @ wave_weights,
        "task_offsets": offsets,
        "rarity": rarity,
        "weights": weights,
        "mean": scale.mean,
        "deviation": scale.deviation,
        "projection": scale.projection,
        "phase": scale.phase,
        "wave_weights": wave_weights,
    }
    facts = {
        "tasks": names,
        "rows": len(rows),
        "cheaper": compared.cheaper.value,
        "stronger": compared.stronger.value,
        "argument": compared.argument,
        "lost": float(np.mean([row.gain < 0 for row in rows])),
    }
    return artefact.write(
        KIND, facts, {name: part.astype(np.float32) for name, part in numbers.items()}
    )


def _scale(signs: "NDArray[np.float64]") -> Scale:
    import numpy as np

    drawn = np.random.RandomState(_SEED)
    return Scale(
        signs.mean(axis=0).astype(np.float32),
        (signs.std(axis=0) + 1e-6).astype(np.float32),
        drawn.normal(size=(SIGNS, WAVES)).astype(np.float32),
        drawn.uniform(0.0, 2 * np.pi, WAVES).astype(np.float32),
    )
