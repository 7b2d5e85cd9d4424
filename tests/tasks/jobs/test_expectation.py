"""What an item is expected to cost, and how much of that is known."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.ledger.accounting.spending import CallHistory
from tierqueue.tasks.jobs.expectation import expected, refused, student


def past(accepted: int, rejected: int = 0, cost: int = 100, spread: int = 0) -> CallHistory:
    """One item an answer, each for ``cost``, but for ``spread`` more or less by turns."""
    items = accepted + rejected
    return CallHistory(
        items=items,
        accepted=accepted,
        rejected=rejected,
        cost=items * cost,
        squares=float(items * (cost * cost + spread * spread)),
        seconds=1.0,
        tokens=10.0,
    )


def test_nothing_is_expected_where_nothing_is_known() -> None:
    assert expected([("small", 500)], {}) is None
    assert expected([("small", 500)], {"best": past(9)}) is None
    assert expected([], {}) is None


def test_the_tier_above_counts_with_its_chance() -> None:
    known = {"small": past(75, 25, cost=10), "best": past(25, cost=1_000)}
    found = expected([("small", 500), ("best", 5_000)], known)
    assert found is not None
    cost, reached = found
    assert cost.value == pytest.approx(10 + 26 / 102 * 1_000)
    assert list(reached) == pytest.approx([1.0, 26 / 102])


def test_a_tier_above_of_which_nothing_is_known_counts_with_its_bound() -> None:
    found = expected([("small", 500), ("best", 5_000)], {"small": past(98, 0, cost=10)})
    assert found is not None
    assert found[0].value == pytest.approx(10 + 5_000 / 100)


@pytest.mark.parametrize(
    ("answers", "most"), [(1, 0.793), (10, 0.28), (100, 0.037), (1_000, 0.004)]
)
def test_no_refusal_so_far_is_no_promise(answers: int, most: float) -> None:
    chance = refused(past(answers))
    assert (chance.low, chance.value) == (0.0, 1 / (answers + 2))
    assert chance.high == pytest.approx(most, abs=0.005)


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_chance_lies_within_its_range(accepted: int, rejected: int) -> None:
    chance = refused(past(accepted, rejected))
    assert 0.0 <= chance.low <= chance.value <= chance.high <= 1.0


@given(st.integers(1, 400), st.integers(0, 400), st.integers(0, 10**12), st.integers(0, 10**12))
def test_what_is_expected_lies_within_its_range(
    accepted: int, rejected: int, cost: int, bound: int
) -> None:
    known = {"small": past(accepted, rejected, cost), "best": past(accepted, cost=2 * cost)}
    found = expected([("small", bound), ("best", bound)], known)
    assert found is not None
    assert 0.0 <= found[0].low <= found[0].value <= found[0].high


def test_more_items_make_the_range_narrower() -> None:
    widths = []
    for count in (2, 20, 200):
        found = expected([("small", 500)], {"small": past(count, cost=100, spread=50)})
        assert found is not None
        widths.append(found[0].high - found[0].low)
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    ("freedom", "exact"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (9, 2.262), (29, 2.045), (999, 1.962)],
)
def teststudents_quantile_is_that_of_the_tables(freedom: int, exact: float) -> None:
    assert student(freedom) == pytest.approx(exact, rel=0.03)


def test_the_range_holds_the_true_cost_nineteen_times_in_twenty() -> None:
    chance, below, above = 0.25, 100.0, 4_000.0
    true, draw = below + chance * above, random.Random(7)
    held = 0
    for _ in range(400):
        bad = sum(draw.random() < chance for _ in range(40))
        lower = [draw.gauss(below, 20) for _ in range(40)]
        upper = [draw.gauss(above, 500) for _ in range(bad)]
        known = {"small": _seen(lower, bad)} | ({"best": _seen(upper, 0)} if bad else {})
        found = expected([("small", 400), ("best", 8_000)], known)
        assert found is not None
        held += found[0].low <= true <= found[0].high
    assert held >= 0.95 * 400


def _seen(costs: list[float], rejected: int) -> CallHistory:
    squares = sum(cost * cost for cost in costs)
    accepted, whole = len(costs) - rejected, round(sum(costs))
    return CallHistory(
        items=len(costs),
        accepted=accepted,
        rejected=rejected,
        cost=whole,
        squares=squares,
        seconds=1.0,
        tokens=1.0,
    )
