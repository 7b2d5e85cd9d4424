"""Many texts as one sparse matrix, with the weights that their own words give each other."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tierqueue.router.learned import text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


def matrix(contents: Iterable[str]) -> "tuple[csr_matrix, NDArray[np.float32]]":
    """A row a text as ``text.weighted`` gives it, and the rarity of each bucket among them."""
    import numpy as np
    from scipy import sparse

    seen: dict[str, tuple[NDArray[np.intp], NDArray[np.float32]]] = {}
    held, order = np.zeros(text.WIDTH, np.float64), list(contents)
    for content in order:
        if content not in seen:
            found = text.counts(content)
            at = np.flatnonzero(found)
            seen[content] = at, found[at]
        held[seen[content][0]] += 1
    rarity = (np.log((1 + len(order)) / (1 + held)) + 1).astype(np.float32)
    values, ends = [], [0]
    for content in order:
        at, counted = seen[content]
        row = np.zeros(text.WIDTH, np.float32)
        row[at] = counted
        values.append(text.weighted(row, rarity)[at])
        ends.append(ends[-1] + len(at))
    columns = np.concatenate([seen[content][0] for content in order])
    parts = (np.concatenate(values), columns, np.array(ends))
    return sparse.csr_matrix(parts, shape=(len(order), text.WIDTH)), rarity
