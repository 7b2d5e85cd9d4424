"""Durations as people read them: their largest units, and no more."""

import pytest

from tierqueue.tasks.durations import age, duration


def test_an_age_is_its_largest_unit() -> None:
    second = 1_000_000
    ages = [age(0, seconds * second) for seconds in (5, 119, 7_200, 400_000)]
    assert ages == ["5 s", "1 min", "2 h", "4 d"]
    assert (age(9 * second, 0), age(None, 5)) == ("0 s", "")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 s"),
        (0.254, "0.25 s"),
        (42.4, "42 s"),
        (185, "3 min 5 s"),
        (7_800, "2 h 10 min"),
        (86_400, "1 d"),
    ],
)
def test_a_duration_is_its_two_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said
