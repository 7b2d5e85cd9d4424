"""Answers where work went first, and what people said of answers."""

from tests.ledger.moves import Moves, settlement
from tierqueue.ledger.evaluation import first_answers, labels
from tierqueue.ledger.evaluation.first_answers import FirstAnswers, LabelCounts
from tierqueue.ledger.evaluation.labels import Label
from tierqueue.router.lifecycle import State


def test_accepted_answers_are_counted_but_for_evaluations_and_escalations(moves: Moves) -> None:
    plain, pinned, refused = (
        moves.running(),
        moves.running(pinned="gpu"),
        moves.running(),
    )
    moves.settle(*(settlement(claim) for claim in (*plain, *pinned)))
    moves.settle(
        settlement(
            refused[0],
            outcome="rejected",
            next_state=State.SUBMITTED,
            output=None,
            receipt=None,
            refused_by=("gpu",),
        )
    )
    with moves.ledger.read() as connection:
        found = first_answers.first_answers(connection, None)
        later = first_answers.first_answers(connection, moves.now() + 1_000_000)
    assert found == [
        FirstAnswers("tierqueue.classify", "small", "internal", "gpu", False, items=1, cost=70)
    ]
    assert later == []


def test_what_people_said_is_counted_by_deployment(moves: Moves) -> None:
    claims = moves.running(2)
    moves.settle(*(settlement(claim) for claim in claims))
    with moves.ledger.write() as connection:
        for claim, correct in zip(claims, (True, False), strict=True):
            item = labels.judgeable(connection, claim.item.id)
            assert item is not None
            labels.put(connection, item, Label(correct=correct, by="ada"))
        assert first_answers.judged(connection) == {
            ("tierqueue.classify", "small"): LabelCounts(2, 1)
        }
