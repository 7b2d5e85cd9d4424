"""A certified threshold keeps its promise as often as it says; what cannot be proved is said."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.router.learned.certify import (
    Certificate,
    NoCertificate,
    ThresholdTrial,
    among_kept,
    certify,
    fewest_rows,
    over_all,
    share_of,
    tail,
    upper_bound,
)


def test_the_tail_is_the_binomials() -> None:
    assert tail(0, 10, 0.5) == pytest.approx(0.5**10)
    assert tail(4, 9, 0.5) == pytest.approx(0.5)
    assert tail(9, 9, 0.1) == 1.0
    assert tail(3, 10_000, 0.05) < 1e-200


@given(st.integers(1, 500), st.floats(0.001, 0.5))
def test_the_fewest_rows_prove_it_and_one_less_does_not(denominator: int, delta: float) -> None:
    alpha = 1 / (denominator + 1)
    rows = fewest_rows(alpha, delta)
    assert tail(0, rows, alpha) <= delta * (1 + 1e-9)
    assert rows == 1 or tail(0, rows - 1, alpha) > delta * (1 - 1e-9)


def test_a_share_lies_in_its_exact_interval_and_of_no_rows_nothing_is_known() -> None:
    share = share_of(8, 10)
    assert (share.low, share.value, share.high) == pytest.approx((0.4439, 0.8, 0.9748), abs=1e-4)
    assert (share_of(0, 0).low, share_of(0, 0).high) == (0.0, 1.0)


@given(st.integers(1, 400), st.data())
def test_the_bound_is_where_the_tail_meets_delta(rows: int, data: st.DataObject) -> None:
    wrong = data.draw(st.integers(0, rows - 1))
    assert tail(wrong, rows, upper_bound(wrong, rows, 0.1)) == pytest.approx(0.1, rel=1e-6)


def test_the_sequence_ends_at_its_first_failure_whatever_comes_later() -> None:
    trials = [
        ThresholdTrial(0.9, 100, 0),
        ThresholdTrial(0.5, 200, 60),
        ThresholdTrial(0.1, 2_000, 3),
    ]
    found = certify(trials, 0.05, 0.1)
    assert isinstance(found, Certificate)
    assert (found.threshold, found.trial.rows) == (0.9, 100)
    assert found.bound < 0.05


def test_what_is_kept_is_counted_from_strict_to_loose() -> None:
    scores, wrong = [0.9, 0.8, 0.8, 0.1], [False, True, False, True]
    assert among_kept(scores, wrong, [0.1, 0.8, 0.95]) == [
        ThresholdTrial(0.95, 0, 0),
        ThresholdTrial(0.8, 3, 1),
        ThresholdTrial(0.1, 4, 2),
    ]
    assert [trial.rows for trial in over_all(scores, wrong, [0.8, 0.1])] == [4, 4]


@pytest.mark.parametrize(
    ("trials", "why", "takes"),
    [
        ([], "keeps 0 rows, and 45", "times as many rows"),
        ([ThresholdTrial(0.9, 20, 0)], "keeps 20 rows, and 45", "3 times as many rows"),
        ([ThresholdTrial(0.9, 100, 4)], "too few", "times as many rows"),
        ([ThresholdTrial(0.9, 100, 9)], "9 of 100 are wrong", "More rows alone will not help"),
    ],
)
def test_what_cannot_be_certified_says_why_and_what_it_would_take(
    trials: list[ThresholdTrial], why: str, takes: str
) -> None:
    found = certify(trials, 0.05, 0.1)
    assert isinstance(found, NoCertificate)
    assert why in found.why
    assert takes in found.takes


def test_the_promise_is_broken_no_more_often_than_delta() -> None:
    """The true risk rises as the threshold falls; it passes alpha at a score of .5."""
    random, alpha, delta, broken, runs = Random(7), 0.1, 0.1, 0, 400
    thresholds = [at / 50 for at in range(46, 0, -1)]
    for _ in range(runs):
        scores = [random.random() for _ in range(400)]
        # Of the rows that score at least t, the mean chance to be wrong is (1 - t) / 5.
        wrong = [random.random() < 0.4 * (1 - score) for score in scores]
        found = certify(among_kept(scores, wrong, thresholds), alpha, delta)
        broken += isinstance(found, Certificate) and (1 - found.threshold) / 5 > alpha
    assert broken / runs <= delta + 3 * (delta * (1 - delta) / runs) ** 0.5


@pytest.mark.parametrize(("alpha", "delta"), [(0.0, 0.1), (1.0, 0.1), (0.1, 0.0), (0.1, 1.0)])
def test_a_promise_of_nothing_or_everything_is_refused(alpha: float, delta: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        certify([ThresholdTrial(0.5, 10, 0)], alpha, delta)
