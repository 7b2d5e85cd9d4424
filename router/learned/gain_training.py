"""Trains the gain predictor: one ridge regression over task types, words and surface."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierqueue.router.item import Tier
from tierqueue.router.learned import artefact, text
from tierqueue.router.learned.gain import KIND, NOTHING_ELSE, WAVES, Scale, Trait, Traits
from tierqueue.router.learned.matrix import matrix
from tierqueue.router.learned.surface import SIGNS, surfaces

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_TASK, _WORDS, _WAVES = 0.05, 0.075, 0.05
"""Prior variances of the three parts, in units of the noise: chosen once, by cross-validation."""

_OTHER = 0.01
"""That of a tenant, a template, a language: they differ less than task types do."""

_SEEN = 8
"""Rows from which on a tenant, a template or a language has a prior of its own."""

_SEED = 20_261_126
"""Of the waves: the same labels train the same predictor."""


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """An item that both tiers answered, and who was right.

    ``weight``: for how many items it stands, where not all were as likely to be drawn.
    """

    task: str
    prompt: str
    cheap_right: bool
    expensive_right: bool
    traits: Traits = NOTHING_ELSE
    weight: float = 1.0

    @property
    def gain(self) -> int:
        """What the more expensive tier brought: 1, 0 or, where it alone was wrong, -1."""
        return int(self.expensive_right) - int(self.cheap_right)


@dataclass(frozen=True, slots=True)
class TierPair:
    """Whose answers the labels compare, and which argument of a call holds the text."""

    cheaper: Tier = Tier.GPU
    stronger: Tier = Tier.FRONTIER
    argument: str = "text"


def train(rows: Sequence[LabelledPair], compared: TierPair = TierPair()) -> bytes:
    """A predictor trained from ``rows`` (at least two), as an artefact."""
    import numpy as np
    from scipy import sparse
    from scipy.sparse.linalg import lsqr

    if len(rows) < 2:
        raise ValueError(f"{len(rows)} rows are too few to train from")
    wanted = np.array([[row.gain, row.cheap_right] for row in rows], np.float64)
    weight = np.array([row.weight for row in rows], np.float64)
    weight /= weight.mean()
    base = np.average(wanted, axis=0, weights=weight)
    names, tasks = _traits(rows)
    words, rarity = matrix(row.prompt for row in rows)
    signs = surfaces([row.prompt for row in rows])
    scale = _scale(signs)
    waves = scale.waves(signs)
    middle = np.average(waves, axis=0, weights=weight)
    strengths = (1.0, _WORDS**0.5, (2 * _WAVES / WAVES) ** 0.5)
    blocks = [tasks, words, sparse.csr_matrix(waves - middle)]
    design = sparse.hstack(
        [block * strength for block, strength in zip(blocks, strengths, strict=True)]
    ).tocsr()
    counted = weight**0.5
    design = sparse.diags(counted) @ design
    solved = np.stack(
        [
            lsqr(design, column, damp=1.0, atol=1e-6, btol=1e-6, iter_lim=300)[0]
            for column in ((wanted - base) * counted[:, None]).T
        ],
        axis=1,
    )
    ends = np.cumsum([len(names), text.WIDTH])
    priors, weights, wave_weights = (
        part * strength for part, strength in zip(np.split(solved, ends), strengths, strict=True)
    )
    numbers: dict[str, NDArray[np.float32]] = {
        "base": base - middle @ wave_weights,
        "priors": priors * np.array([[_strength(trait)] for trait in names]),
        "rarity": rarity,
        "weights": weights,
        "mean": scale.mean,
        "deviation": scale.deviation,
        "projection": scale.projection,
        "phase": scale.phase,
        "wave_weights": wave_weights,
    }
    facts = {
        "traits": [list(trait) for trait in names],
        "rows": len(rows),
        "cheaper": compared.cheaper.value,
        "stronger": compared.stronger.value,
        "argument": compared.argument,
        "lost": float(np.average([row.gain < 0 for row in rows], weights=weight)),
    }
    return artefact.write(
        KIND, facts, {name: part.astype(np.float32) for name, part in numbers.items()}
    )


def _traits(rows: Sequence[LabelledPair]) -> "tuple[list[Trait], csr_matrix]":
    """The traits that have priors, and a row a row with the strength of each of its own."""
    from scipy import sparse

    of_row = [list(row.traits.known(row.task, row.prompt)) for row in rows]
    seen = Counter(trait for traits in of_row for trait in traits)
    names = sorted(trait for trait, times in seen.items() if trait[0] == "task" or times >= _SEEN)
    place = {trait: at for at, trait in enumerate(names)}
    found = [
        (number, place[trait], _strength(trait))
        for number, traits in enumerate(of_row)
        for trait in traits
        if trait in place
    ]
    numbers, columns, values = zip(*found, strict=True)
    shape = (len(rows), len(names))
    return names, sparse.csr_matrix((values, (numbers, columns)), shape=shape)


def _strength(trait: Trait) -> float:
    return float((_TASK if trait[0] == "task" else _OTHER) ** 0.5)


def _scale(signs: "NDArray[np.float64]") -> Scale:
    import numpy as np

    drawn = np.random.RandomState(_SEED)
    return Scale(
        signs.mean(axis=0).astype(np.float32),
        (signs.std(axis=0) + 1e-6).astype(np.float32),
        drawn.normal(size=(SIGNS, WAVES)).astype(np.float32),
        drawn.uniform(0.0, 2 * np.pi, WAVES).astype(np.float32),
    )
