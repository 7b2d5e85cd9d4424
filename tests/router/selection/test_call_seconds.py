"""What is held of one's own engine for one more call, by how long its answers took."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.router.selection.call_seconds import ENOUGH, FACTOR, allowed, size_of, up_to


@given(st.floats(min_value=0, max_value=100_000))
def test_a_time_is_within_its_size_and_above_the_one_below(seconds: float) -> None:
    size = size_of(seconds)
    assert seconds <= up_to(size) * (1 + 1e-9)
    assert seconds <= up_to(-20) or seconds >= up_to(size - 1) * (1 - 1e-9)


def test_with_too_few_answers_nothing_is_said() -> None:
    assert allowed({}) is None
    assert allowed({size_of(0.5): ENOUGH - 1}) is None
    assert allowed({size_of(0.5): ENOUGH}) == FACTOR * 0.5


@pytest.mark.long
@given(st.lists(st.floats(min_value=0, max_value=10_000), min_size=ENOUGH, max_size=300))
def test_all_but_one_in_a_hundred_took_no_more_than_half_of_what_is_allowed(
    times: list[float],
) -> None:
    seconds = allowed(Counter(map(size_of, times)))
    assert seconds is not None
    longer = [time for time in times if time * FACTOR > seconds * (1 + 1e-9)]
    assert len(longer) <= len(times) / 100


def test_a_clock_that_is_wrong_by_years_is_one_size() -> None:
    assert size_of(1e12) == size_of(1e15)
    assert math.isfinite(up_to(size_of(1e15)))
