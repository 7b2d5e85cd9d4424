"""A threshold of confidence keeps its promise as often as it says."""

from random import Random

from tierqueue.router.learned.certify import Certificate, NoCertificate
from tierqueue.router.learned.thresholds import calibrated


def judged(random: Random, rows: int) -> tuple[list[float], list[bool]]:
    """Answers of which one with confidence ``c`` is wrong with chance ``(1 - c) / 2``."""
    confidences = [random.random() for _ in range(rows)]
    return confidences, [random.random() < (1 - sure) / 2 for sure in confidences]


def share_wrong(threshold: float) -> float:
    """The true share of wrong answers from this confidence on: the mean of ``(1 - c) / 2``."""
    return (1 - threshold) / 4


def test_a_promise_is_broken_no_more_often_than_it_says() -> None:
    random, broken, certified = Random(3), 0, 0
    for _ in range(200):
        found = calibrated(*judged(random, 600), 0.10, 0.10)
        if isinstance(found, Certificate):
            certified += 1
            broken += share_wrong(found.threshold) > 0.10
    assert certified > 150
    assert broken / 200 <= 0.142


def test_of_right_answers_any_confidence_will_do() -> None:
    found = calibrated([0.2, 0.9] * 50, [False] * 100, 0.05, 0.10)
    assert isinstance(found, Certificate)
    assert (found.threshold, found.trial.rows) == (0.0, 100)


def test_what_cannot_be_certified_says_what_it_would_take() -> None:
    few = calibrated([0.9] * 20, [False] * 20, 0.05, 0.10)
    assert isinstance(few, NoCertificate)
    assert "20 rows" in few.why
    assert "times as many rows" in few.takes
    bad = calibrated([0.9] * 200, [True] * 200, 0.05, 0.10)
    assert isinstance(bad, NoCertificate)
    assert "More rows alone will not help" in bad.takes
    assert isinstance(calibrated([], [], 0.05, 0.10), NoCertificate)


def test_which_thresholds_are_tried_does_not_depend_on_what_is_wrong() -> None:
    confidences = [number / 400 for number in range(400)]
    found = calibrated(confidences, [number < 160 for number in range(400)], 0.05, 0.10)
    other = calibrated(confidences, [number < 170 for number in range(400)], 0.05, 0.10)
    assert isinstance(found, Certificate)
    assert isinstance(other, Certificate)
    assert found.threshold <= other.threshold
