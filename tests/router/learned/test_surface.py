"""What a text looks like is a few finite numbers, also of no text at all."""

import numpy as np
import pytest
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


@pytest.mark.parametrize(
    ("text", "numbers", "negated"),
    [
        ("7 of 12", 2, False),
        ("12", 1, False),
        ("a1b22", 2, False),
        ("٣ of ٤٥, not 6", 3, True),
        ("NOT this", 0, True),
        ("at least", 0, True),
        ("nothing, _not_, knot, notes", 0, False),
        ("knot and not", 0, True),
        ("é: never", 0, True),
        ("", 0, False),
    ],
)
def test_numbers_and_negations_are_seen_whatever_the_alphabet(
    text: str, numbers: int, negated: bool
) -> None:
    found = surfaces(["1", text, "2 not"])[1]
    assert (round(found[12] ** 2), bool(found[10])) == (numbers, negated)
