"""A person as the last tier: what they decide is the item's answer, with a receipt that says so."""

from typing import Any

import pytest
from sqlalchemy import update

from tests.ledger.moves import SECOND, Moves, settlement
from tierqueue.ledger.lifecycle.settlements import Parking
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items
from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import State
from tierqueue.tasks import Review, feedback, pending_reviews
from tierqueue.tasks.app import app
from tierqueue.tasks.broker.wakes import Wakes
from tierqueue.tasks.installation import Installation

ARGUMENTS = {"text": "my card", "labels": ["card", "login"]}


@pytest.fixture(autouse=True)
def _on_this_ledger(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(app)
    installation.ledger = ledger
    installation.wakes = Wakes(lambda: None)
    monkeypatch.setattr(app, "installation", installation)


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


def parked(moves: Moves, answer: Any = None) -> str:
    (claim,) = moves.running(arguments=ARGUMENTS)
    moves.settle(
        settlement(
            claim,
            outcome="rejected",
            next_state=State.REVIEW,
            reason="low_confidence",
            output=None,
            receipt=None,
            confidence=0.25,
            refused={"label": "login"} if answer is None else answer,
            parked=Parking(due=moves.now() + 3_600 * SECOND, assignee="claims"),
        )
    )
    return claim.item.id


def test_an_answer_that_was_refused_may_be_taken(moves: Moves) -> None:
    item_id = parked(moves)
    assert [one.item for one in pending_reviews(assignee="claims")] == [item_id]
    assert [one.answer for one in Review(item_id).answers()] == [{"label": "login"}]
    Review(app.AsyncResult(item_id)).accept(by="ada")
    row = moves.row(item_id)
    assert row.output == {"label": "login", "confidence": 0.25}
    receipt = row.receipt or {}
    assert (receipt["tier"], receipt["deployment"]) == ("review", "small")
    assert receipt["review"] == {"decision": "accepted", "by": "ada"}
    assert receipt["cost_nanousd"] == row.spent == 70
    assert pending_reviews() == []
    with pytest.raises(InvalidItem, match="waits for no review: it is succeeded"):
        Review(item_id).accept(by="bob")
    with pytest.raises(InvalidItem, match="was decided by ada"):
        feedback(item_id, correct=False)


def test_a_correction_is_checked_as_any_answer_is(moves: Moves) -> None:
    item_id = parked(moves)
    with pytest.raises(InvalidItem, match="no output of"):
        Review(item_id).correct({"label": "cart"}, by="ada")
    assert moves.row(item_id).state == "review"
    Review(item_id).correct("card", by="ada")
    row = moves.row(item_id)
    assert row.output == {"label": "card", "confidence": None}
    assert (row.receipt or {})["deployment"] == "person"


def test_a_text_without_the_form_cannot_be_taken(moves: Moves) -> None:
    item_id = parked(moves, answer="It is about a card, I think.")
    with pytest.raises(InvalidItem, match="no answer that can be taken"):
        Review(item_id).accept(by="ada")
    with pytest.raises(InvalidItem, match="no answer of attempt 7"):
        Review(item_id).accept(by="ada", answer=7)
    assert moves.row(item_id).state == "review"


def test_what_is_rejected_tells_its_producer_why(moves: Moves) -> None:
    item_id = parked(moves)
    with pytest.raises(InvalidItem, match="say why"):
        Review(item_id).reject(" ", by="ada")
    Review(item_id).reject("not our customer", by="ada")
    row = moves.row(item_id)
    assert (row.state, row.reason) == ("dead", "rejected")
    assert "ada rejected it in review: not our customer" in (row.error or {})["message"]


def test_an_item_that_is_not_there_is_said(moves: Moves) -> None:
    with pytest.raises(InvalidItem, match="there is no item nobody"):
        Review("nobody").reject("x", by="ada")


def test_nobody_is_given_longer_than_the_item_has(moves: Moves, ledger: Ledger) -> None:
    item = parked(moves)
    until = Review(item).assign(to="ada", within=7 * 86_400.0, by="beth")
    with ledger.write() as connection:
        deadline = moves.now() + 60 * SECOND
        connection.execute(update(items).where(items.c.id == item).values(deadline=deadline))
    assert Review(item).assign(within=7 * 86_400.0, by="beth") == deadline < until
    (waiting,) = pending_reviews(assignee="ada")
    assert (waiting.item, waiting.due) == (item, deadline)


@pytest.mark.parametrize(
    "asked",
    [{}, {"to": " "}, {"to": "a" * 201}, {"within": 0.0}, {"within": float("inf")}],
    ids=str,
)
def test_what_cannot_be_assigned_is_refused(moves: Moves, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidItem, match="say "):
        Review(parked(moves)).assign(**asked, by="beth")
