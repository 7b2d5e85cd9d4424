"""A predictor on trial: better than chance where there is something to learn, and only there."""

from random import Random

from tierqueue.router.learned.gain_training import LabelledPair
from tierqueue.router.learned.gain_trial import tried


def test_what_can_be_told_from_the_text_is_better_than_chance() -> None:
    rows = []
    for number in range(150):
        hard = number % 3 == 0
        text = f"integrate x^{number}" if hard else f"add {number} and 3"
        rows.append(LabelledPair("t", text, not hard, expensive_right=True))
    trial = tried(rows)
    assert trial is not None
    assert trial.better_than_chance
    assert trial.low < trial.apgr <= trial.high
    assert (round(trial.cheaper, 2), trial.stronger) == (0.67, 1.0)


def test_what_cannot_be_told_is_not() -> None:
    random = Random(3)
    rows = [LabelledPair("t", f"text {n}", random.random() < 0.5, True) for n in range(150)]
    trial = tried(rows)
    assert trial is not None
    assert not trial.better_than_chance
    assert trial.low < 0.5 < trial.high


def test_where_the_stronger_tier_is_no_better_there_is_nothing_to_try() -> None:
    assert (
        tried([LabelledPair("t", f"text {n}", True, expensive_right=n > 3) for n in range(120)])
        is None
    )
