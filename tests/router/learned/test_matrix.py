"""Many texts at once are the same numbers as each text alone."""

import numpy as np
import pytest

from tierqueue.router.learned import text
from tierqueue.router.learned.matrix import matrix


def test_a_row_is_what_the_text_alone_gives() -> None:
    contents = ["card lost", "card stolen", "card lost"]
    rows, rarity = matrix(contents)
    for row, content in zip(rows.toarray(), contents, strict=True):
        assert row == pytest.approx(text.weighted(text.counts(content), rarity))


def test_what_is_rare_weighs_more() -> None:
    _, rarity = matrix(["card lost", "card stolen", "card found"])
    common, rare = text.counts("card"), text.counts("stolen")
    assert np.median(rarity[common != 0]) < np.median(rarity[rare != 0])
