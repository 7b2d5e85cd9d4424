"""Evidence: what settled answers show of each deployment, kept as a few figures."""

from tests.ledger.moves import Moves, settlement
from tierqueue.ledger.in_force import evidence
from tierqueue.ledger.in_force.evidence import MOST, ByTask, JudgedAnswer
from tierqueue.router.lifecycle import State
from tierqueue.router.selection.evidence import Evidence


def judged(deployment: str = "small", *, accepted: bool = True, task: str = "t") -> JudgedAnswer:
    return JudgedAnswer(task, deployment, accepted, 100, 10, 0.5)


def known(moves: Moves) -> ByTask:
    with moves.ledger.read() as connection:
        return evidence.by_task(connection)


def test_what_answers_show_is_added_up_by_task_type_and_deployment(moves: Moves) -> None:
    assert known(moves) == {}
    for _ in range(2):
        with moves.ledger.write() as connection:
            evidence.add(connection, [judged(), judged(accepted=False), judged("best", task="u")])
    assert known(moves) == {
        "t": {"small": Evidence(4, 2, 400, 40, 2.0)},
        "u": {"best": Evidence(2, 2, 200, 20, 1.0)},
    }


def test_old_answers_count_for_less_and_less(moves: Moves) -> None:
    with moves.ledger.write() as connection:
        evidence.add(connection, [judged()] * MOST)
        evidence.add(connection, [judged(accepted=False)] * 10)
    assert known(moves)["t"]["small"] == Evidence(1_010, 1_000, 101_000, 10_100, 505.0)


def test_a_settled_answer_is_evidence_and_a_stale_one_is_none(moves: Moves) -> None:
    [claim] = moves.running()
    accepted = settlement(claim, judged=judged())
    moves.settle(accepted)
    moves.settle(accepted)
    assert known(moves) == {"t": {"small": Evidence(1, 1, 100, 10, 0.5)}}


def test_a_call_without_an_answer_is_no_evidence(moves: Moves) -> None:
    [claim] = moves.running()
    failed = settlement(
        claim, outcome="failed", next_state=State.WAITING, output=None, receipt=None
    )
    moves.settle(failed)
    assert known(moves) == {}
