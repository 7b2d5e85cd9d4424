"""``tierqueue prompts``: what became of items under each of two prompts, and what is learned."""

import pytest
from sqlalchemy import select

from tests.ledger.moves import Moves, settlement
from tests.operations.cli.command import Command
from tierqueue.ledger.evaluation import labels
from tierqueue.ledger.evaluation.labels import Label
from tierqueue.ledger.in_force import surrogates
from tierqueue.ledger.in_force.surrogates import Audit
from tierqueue.ledger.operations.accepted_answers import accepted
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items

OTHER = "prompt-0123456789ab"


@pytest.fixture
def moves(ledger: Ledger) -> Moves:
    return Moves(ledger)


def asked(moves: Moves, count: int, prompt: str | None, *, right: int = 0) -> str:
    """So many answered items, of which the first ``right`` were judged to be right, and one not."""
    moves.submit(count, prompt=prompt, arguments={"text": "t"})
    moves.route(policy="p", route={"reasons": [], "terms": ""})
    running = moves.claim(moves.queue()).claimed
    moves.settle(*(settlement(claim, confidence=0.9) for claim in running))
    with moves.ledger.write() as connection:
        for number, claim in enumerate(running[: right + 1] if right else ()):
            item = labels.judgeable(connection, claim.item.id)
            assert item is not None
            labels.put(connection, item, Label(correct=number < right, by="ada"))
    return running[0].item.task


def test_both_prompts_are_told_apart(tierqueue: Command, moves: Moves) -> None:
    asked(moves, 4, None, right=1)
    asked(moves, 3, OTHER, right=2)
    own, other = tierqueue.json("prompts")
    assert (own["prompt"], own["items"], own["accepted"]) == (None, 4, 4)
    assert (other["prompt"], other["items"], other["accepted"]) == (OTHER, 3, 3)
    assert (own["labelled"], own["right"], own["right_share"]) == (2, 1, 0.5)
    assert (other["labelled"], other["right"]) == (3, 2)
    assert other["right_low"] < other["right_share"] < other["right_high"]
    assert own["item_low_nanousd"] <= own["item_nanousd"] <= own["item_high_nanousd"]
    said = tierqueue("prompts")
    assert "its own" in said
    assert OTHER in said


def test_what_would_have_been_answered_below_the_tiers_is_on_neither_side(
    tierqueue: Command, moves: Moves
) -> None:
    asked(moves, 4, None)
    asked(moves, 3, OTHER)
    with moves.ledger.write() as connection:
        found = connection.execute(select(items.c.id, items.c.prompt).order_by(items.c.id)).all()
        own = next(row.id for row in found if row.prompt is None)
        other = next(row.id for row in found if row.prompt == OTHER)
        # An audited item under the usual prompt; one that was drawn for the other.
        said = [Audit(own, "t", "rule-a", "card"), Audit(other, "t", "rule-a", None)]
        surrogates.audit(connection, said, 1)
    assert [one["items"] for one in tierqueue.json("prompts")] == [3, 2]


def test_without_another_prompt_there_is_nothing_to_compare(
    tierqueue: Command, moves: Moves
) -> None:
    task = asked(moves, 2, None)
    assert tierqueue.json("prompts") == []
    assert [one["items"] for one in tierqueue.json("prompts", "--task", task)] == [2]


def test_a_task_type_that_is_not_there_is_told_the_nearest(tierqueue: Command) -> None:
    said = tierqueue.complaint("prompts", "--task", "tierqueue.clasify")
    assert "there is no task type 'tierqueue.clasify'; did you mean 'tierqueue.classify'?" in said


def test_answers_to_the_other_prompt_teach_nothing_of_the_first(
    tierqueue: Command, moves: Moves
) -> None:
    task = asked(moves, 3, OTHER, right=2)
    with moves.ledger.read() as connection:
        assert labels.confidences(connection, task, 100) == {}
        assert list(accepted(connection, task, 100)) == []
    asked(moves, 3, None, right=2)
    with moves.ledger.read() as connection:
        assert len(list(accepted(connection, task, 100))) == 2
        assert [len(rows) for rows in labels.confidences(connection, task, 100).values()] == [3]
    assert len(tierqueue.json("prompts")) == 2
