"""What a text looks like is a few finite numbers, also of no text at all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.router.learned.surface import SIGNS, surface, surfaces


@given(st.text(max_size=300))
def test_any_text_has_a_surface(content: str) -> None:
    signs = surface(content)
    assert signs.shape == (SIGNS,)
    assert np.isfinite(signs).all()


def test_digits_capitals_and_length_are_seen() -> None:
    sums, words = surface("12 + 34 = 46"), surface("Nothing to add")
    assert sums[3] > words[3]
    assert words[4] > sums[4]
    assert surface("long " * 5_000)[0] > surface("long " * 4_000)[0]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_several_surfaces_at_once_are_those_of_each_alone(contents: list[str]) -> None:
    alone = np.stack([surface(content) for content in contents])
    assert np.allclose(surfaces(contents), alone)
