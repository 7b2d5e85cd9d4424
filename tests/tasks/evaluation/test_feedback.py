"""What people say of answers: kept, checked, audited, learned from, and gone with the item."""

from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import insert, select

from tests.ledger.placed import place
from tierqueue.ledger import audit_log
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.evaluation.labels import Label
from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.in_force.evidence import JudgedAnswer
from tierqueue.ledger.operations import erasure
from tierqueue.ledger.operations.accepted_answers import accepted
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import labels as table
from tierqueue.ledger.tables import promises
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import feedback
from tierqueue.tasks.app import app
from tierqueue.tasks.installation import Installation

CLASSIFY: dict[str, Any] = {
    "task": "tierqueue.classify",
    "arguments": {"text": "my card", "labels": ["card", "login"]},
}


@pytest.fixture(autouse=True)
def _on_this_ledger(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(app)
    installation.ledger = ledger
    monkeypatch.setattr(app, "installation", installation)


def said(ledger: Ledger, item_id: str) -> Label | None:
    with ledger.read() as connection:
        return labels.of_item(connection, item_id)


def answered(ledger: Ledger, **stated: Any) -> str:
    """An item that was answered with ``login``, which is evidence."""
    with ledger.write() as connection:
        evidence.add(connection, [JudgedAnswer("tierqueue.classify", "house", True, 10, 2, 0.5)])
    return place(ledger, "succeeded", **{**CLASSIFY, "output": {"label": "login"}, **stated})


def good(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return evidence.by_task(connection)["tierqueue.classify"]["house"].accepted


def test_the_last_word_counts_and_each_is_in_the_audit_log(ledger: Ledger) -> None:
    item_id = answered(ledger)
    feedback(item_id, correct=False, by="ada")
    assert said(ledger, item_id) == Label(correct=False, by="ada")
    feedback(item_id, corrected_output={"label": "card"}, by="bob")
    found = said(ledger, item_id)
    assert found == Label(correct=False, by="bob", corrected={"label": "card", "confidence": None})
    with ledger.read() as connection:
        done = audit_log.newest(connection, 5)
    assert [(action.by, action.what) for action in done] == [
        ("bob", "feedback"),
        ("ada", "feedback"),
    ]
    assert "card" not in str(done[0].detail)


def test_a_wrong_answer_is_evidence_as_one_that_was_not_accepted(ledger: Ledger) -> None:
    item_id = answered(ledger)
    assert good(ledger) == 1
    feedback(item_id, correct=True)
    assert good(ledger) == 1
    for _ in range(2):
        feedback(item_id, correct=False)
        assert good(ledger) == 0
    feedback(item_id, correct=True)
    assert good(ledger) == 1


def test_what_was_corrected_is_learned_and_what_is_wrong_is_not(ledger: Ledger) -> None:
    kept, wrong, corrected = (answered(ledger) for _ in range(3))
    dead = place(ledger, "dead", **CLASSIFY, reason="low_confidence")
    untold = place(ledger, "dead", **CLASSIFY, reason="low_confidence")
    feedback(kept, correct=True)
    feedback(wrong, correct=False)
    for item_id in (corrected, dead):
        feedback(item_id, corrected_output="card")
    with ledger.read() as connection:
        found = [one.output["label"] for one in accepted(connection, "tierqueue.classify", 10)]
    assert found == ["card", "card", "login"]
    assert said(ledger, untold) is None


def test_a_label_goes_with_the_item(ledger: Ledger) -> None:
    item_id = answered(ledger)
    feedback(item_id, corrected_output={"label": "card"})
    with ledger.write() as connection:
        erasure.erase(connection, [item_id], "ada", "asked")
        row = connection.execute(select(table).where(table.c.item_id == item_id)).one()
    assert (row.corrected, row.correct) == (None, False)
    with pytest.raises(InvalidItem, match="was erased"):
        feedback(item_id, correct=True)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "say whether the answer is correct"),
        ({"correct": True, "corrected_output": {"label": "card"}}, "needs no other"),
        ({"corrected_output": {"label": "cart"}}, "no output of tierqueue.classify"),
        ({"corrected_output": {"lable": "card"}}, "no output of tierqueue.classify"),
        ({"corrected_output": object()}, "is plain JSON"),
    ],
)
def test_what_cannot_be_said_is_refused_and_says_nothing_of_the_answer(
    ledger: Ledger, given: dict[str, Any], complaint: str
) -> None:
    item_id = answered(ledger)
    with pytest.raises(InvalidItem, match=complaint) as refused:
        feedback(item_id, **given)
    assert "cart" not in refused.value.message
    assert said(ledger, item_id) is None


def test_an_item_without_an_answer_can_only_be_told_what_it_should_have_been(
    ledger: Ledger,
) -> None:
    dead = place(ledger, "dead", reason="rejected")
    with pytest.raises(InvalidItem, match="has no answer, it is dead"):
        feedback(dead, correct=False)
    feedback(dead, corrected_output="A text.")
    found = said(ledger, dead)
    assert found is not None
    assert found.corrected == {"text": "A text."}
    with pytest.raises(InvalidItem, match="not empty"):
        feedback(dead, corrected_output=" ")
    with pytest.raises(InvalidItem, match="has not ended: it is running"):
        feedback(place(ledger, "running"), correct=True)
    with pytest.raises(InvalidItem, match="there is no item nobody"):
        feedback("nobody", correct=True)


class Said(BaseModel):
    label: str


def test_a_result_and_a_model_will_do(ledger: Ledger) -> None:
    item_id = answered(ledger)
    with ledger.write() as connection:
        row = {"id": "told", "item_id": item_id, "task": "t", "made_at": 1}
        connection.execute(insert(promises), row)
    feedback(app.AsyncResult("told"), corrected_output=Said(label="card"))
    assert said(ledger, item_id) is not None
