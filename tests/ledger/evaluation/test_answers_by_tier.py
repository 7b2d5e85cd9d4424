"""Answers with their tiers, as something to compare two tiers by."""

from tests.ledger.placed import place
from tests.tasks.evaluation.answering import answer
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.evaluation.answers_by_tier import answered
from tierqueue.ledger.evaluation.labels import Label
from tierqueue.ledger.session import Ledger

TASK = "tierqueue.classify"


def asked(ledger: Ledger, text: str, **columns: object) -> str:
    called = {"task": TASK, "arguments": {"text": text}, "calls": 1}
    return place(ledger, "submitted", **{**called, **columns})


def test_each_answer_has_its_tier_and_a_refused_one_says_so(ledger: Ledger) -> None:
    asked(ledger, "climbs")
    asked(ledger, "stays", pinned="gpu")
    asked(ledger, "other prompt", prompt="prompt-b")
    asked(ledger, "without a call", calls=0)
    answer(
        ledger, lambda tier, said: None if tier == "gpu" and said["text"] == "climbs" else "card"
    )
    with ledger.read() as connection:
        found = {one.arguments["text"]: one for one in answered(connection, TASK, 100)}
    assert found.keys() == {"climbs", "stays"}
    refused, accepted = found["climbs"].answers
    assert (refused.tier, refused.accepted, refused.output) == ("gpu", False, None)
    assert (accepted.tier, accepted.accepted) == ("frontier", True)
    assert accepted.output == {"label": "card", "confidence": None}
    assert (found["climbs"].drawn, found["stays"].drawn) == (False, True)


def test_what_is_right_is_what_was_called_right_or_what_stands_for_it(ledger: Ledger) -> None:
    right, wrong, unsaid = (asked(ledger, text) for text in ("right", "wrong", "unsaid"))
    answer(ledger, lambda tier, said: "card")
    with ledger.write() as connection:
        for item_id, label in (
            (right, Label(correct=True, by="ada")),
            (wrong, Label(correct=False, by="ada", corrected={"label": "login"})),
        ):
            item = labels.judgeable(connection, item_id)
            assert item is not None
            labels.put(connection, item, label)
    with ledger.read() as connection:
        found = {one.arguments["text"]: one for one in answered(connection, TASK, 100)}
    assert (found["right"].correct, found["right"].truth["label"]) == (True, "card")
    assert (found["wrong"].correct, found["wrong"].truth) == (False, {"label": "login"})
    assert (found["unsaid"].correct, found["unsaid"].truth) == (None, None)
    assert unsaid
