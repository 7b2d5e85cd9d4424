"""Rows for the gain predictor: who was right, how that is known, how many items it stands for."""

from typing import Any

import pytest

from tierqueue.ledger.evaluation.answers_by_tier import AnsweredItem, TierAnswer
from tierqueue.router.item import Tier
from tierqueue.tasks.evaluation.gains import Gains

PAIR = (Tier.GPU, Tier.FRONTIER)


def gains(*, believe: bool = False) -> Gains:
    return Gains("t", "text", "1", None, believe=believe)


def said(
    tier: str, label: str | None, *, accepted: bool = True, simulated: bool = False
) -> TierAnswer:
    output = None if label is None else {"label": label, "confidence": 0.5}
    return TierAnswer(tier=tier, accepted=accepted, simulated=simulated, output=output)


def item(text: str, *answers: TierAnswer, drawn: bool = False, **known: Any) -> AnsweredItem:
    usual: dict[str, Any] = {"correct": None, "truth": None}
    return AnsweredItem(
        budget="acme", drawn=drawn, answers=answers, arguments={"text": text}, **{**usual, **known}
    )


def test_what_people_said_of_either_answer_judges_both() -> None:
    found = gains()
    found.add(item("a", said("frontier", "card"), drawn=True))
    found.add(item("a", said("gpu", "login"), correct=False, truth={"label": "card"}))
    found.add(
        item("b", said("frontier", "card"), drawn=True, correct=True, truth={"label": "card"})
    )
    found.add(item("b", said("gpu", "card")))
    learned = found.of(PAIR)
    rows = {row.prompt: (row.cheap_right, row.expensive_right) for row in learned.rows}
    assert rows == {"a": (False, True), "b": (True, True)}
    assert [row.traits.tenant for row in learned.rows] == ["acme", "acme"]


def test_without_a_word_of_anybody_an_item_is_left_out_or_the_stronger_tier_believed() -> None:
    for believe, believed, unsaid in ((False, 0, 1), (True, 1, 0)):
        found = gains(believe=believe)
        found.add(item("a", said("frontier", "card"), drawn=True))
        found.add(item("a", said("gpu", "login")))
        learned = found.of(PAIR)
        assert (learned.believed, learned.unsaid, len(learned.rows)) == (believed, unsaid, believed)
    (row,) = learned.rows
    assert (row.cheap_right, row.expensive_right) == (False, True)


def test_an_evaluation_that_asked_both_is_a_row() -> None:
    found = gains()
    found.add(item("a", said("gpu", "card"), drawn=True, correct=True, truth={"label": "card"}))
    found.add(item("a", said("frontier", "login"), drawn=True, correct=False))
    (row,) = found.of(PAIR).rows
    assert (row.cheap_right, row.expensive_right, row.weight) == (True, False, 1.0)


def test_what_was_refused_below_was_not_right_there_unless_it_is_known_that_it_was() -> None:
    found = gains()
    found.add(
        item("z", said("frontier", "card"), drawn=True, correct=True, truth={"label": "card"})
    )
    found.add(item("z", said("gpu", "card")))
    for text, kept in (("a", None), ("b", "card"), ("c", "login")):
        answers = (said("gpu", kept, accepted=False), said("frontier", "card"))
        found.add(item(text, *answers, correct=True, truth={"label": "card"}))
    rows = {row.prompt: row.cheap_right for row in found.of(PAIR).rows}
    assert rows == {"z": True, "a": False, "b": True, "c": False}


def test_what_was_refused_says_nothing_where_nobody_was_asked_twice_of_what_was_accepted() -> None:
    found = gains()
    answers = (said("gpu", None, accepted=False), said("frontier", "card"))
    found.add(item("a", *answers, correct=True, truth={"label": "card"}))
    found.add(item("b", said("gpu", "card"), correct=True, truth={"label": "card"}))
    learned = found.of(PAIR)
    assert (learned.rows, learned.apart) == ([], 1)


def test_a_second_answer_stands_for_all_that_were_accepted_like_its_first() -> None:
    found = gains()
    for number in range(10):
        answer = said("gpu", None, accepted=False), said("frontier", "card")
        found.add(item(f"refused {number}", *answer, correct=True, truth={"label": "card"}))
    for number in range(90):
        truth = {"label": "card"}
        if number % 9 == 0:
            found.add(item(f"{number}", said("frontier", "card"), drawn=True))
        found.add(item(f"{number}", said("gpu", "card"), correct=True, truth=truth))
    rows = found.of(PAIR).rows
    weights = {row.cheap_right: row.weight for row in rows}
    assert len(rows) == 20
    # Nine of ten items were accepted, and so nine tenths of the weight is theirs.
    assert weights[True] / weights[False] == pytest.approx(9)
    assert sum(row.weight for row in rows) == pytest.approx(20)


def test_the_pairs_are_counted_and_simulated_answers_told() -> None:
    found = gains(believe=True)
    found.add(item("a", said("gpu", "card"), said("open_weight", "card", simulated=True)))
    found.add(item("b", said("gpu", "card")))
    assert found.pairs == {(Tier.GPU, Tier.OPEN_WEIGHT): 1}
    assert found.of((Tier.GPU, Tier.OPEN_WEIGHT)).simulated == 1
