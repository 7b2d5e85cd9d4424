"""How long answers of engines paid by the hour took: counted as they are settled."""

from dataclasses import replace

from tests.ledger.moves import WORKER, Moves, ceiling, settlement
from tierqueue.ledger.in_force import call_seconds, evidence
from tierqueue.ledger.in_force.call_seconds import MOST
from tierqueue.ledger.in_force.evidence import JudgedAnswer
from tierqueue.router.lifecycle import State
from tierqueue.router.selection.call_seconds import ENOUGH

CLASSIFY = "tierqueue.classify"


def judged(seconds: float, *, by_the_hour: bool = True, task: str = CLASSIFY) -> JudgedAnswer:
    return JudgedAnswer(task, "small", True, 100, 10, seconds, by_the_hour)


def seen(moves: Moves, *answers: JudgedAnswer) -> None:
    with moves.ledger.write() as connection:
        evidence.add(connection, answers)


def known(moves: Moves) -> dict[str, dict[str, float]]:
    with moves.ledger.read() as connection:
        found = call_seconds.by_task(connection)
        assert call_seconds.known(connection, "small") == set(found)
        assert call_seconds.known(connection, "another") == set()
    return {task: dict(bounds) for task, bounds in found.items()}


def test_enough_answers_of_a_task_type_say_how_long_a_call_may_take(moves: Moves) -> None:
    seen(moves, *[judged(0.5)] * (ENOUGH - 1), *[judged(2.0, task="other")] * ENOUGH)
    assert known(moves) == {"other": {"small": 4.0}}
    seen(moves, judged(0.5))
    assert known(moves) == {CLASSIFY: {"small": 1.0}, "other": {"small": 4.0}}


def test_answers_that_are_paid_by_the_token_are_not_counted(moves: Moves) -> None:
    seen(moves, *[judged(0.5, by_the_hour=False)] * ENOUGH)
    assert known(moves) == {}


def test_old_answers_count_for_less_and_less(moves: Moves) -> None:
    seen(moves, *[judged(8.0)] * MOST)
    for _ in range(8):
        seen(moves, *[judged(1.0)] * (MOST // 2))
    assert known(moves) == {CLASSIFY: {"small": 2.0}}


def test_a_settled_answer_is_counted_and_a_stale_one_is_not(moves: Moves) -> None:
    seen(moves, *[judged(0.5)] * (ENOUGH - 2))
    [claim] = moves.running()
    accepted = settlement(claim, judged=judged(0.5))
    moves.settle(accepted)
    moves.settle(accepted)
    assert known(moves) == {}


BY_THE_HOUR = replace(WORKER, by_the_hour=True, policy="p")


def test_what_does_not_fit_by_its_whole_timeout_is_routed_anew_once_enough_is_known(
    moves: Moves,
) -> None:
    moves.ceilings(ceiling("everything", 150))
    moves.submit(2)
    moves.route(bound=200, route={"measured": False}, policy="p")
    wanted = moves.queue()
    seen(moves, *[judged(0.5)] * ENOUGH)
    assert moves.claim(wanted, by=BY_THE_HOUR).ends.ended == []
    assert {moves.row(item).state for item in wanted} == {State.SUBMITTED}


def test_what_does_not_fit_by_its_measured_bound_either_ends(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 150))
    moves.submit()
    moves.route(bound=200, route={"measured": True}, policy="p")
    wanted = moves.queue()
    seen(moves, *[judged(0.5)] * ENOUGH)
    [end] = moves.claim(wanted, by=BY_THE_HOUR).ends.ended
    assert end.error is not None
    assert end.error["reason"] == "cost_ceiling"


def test_before_enough_is_known_what_does_not_fit_ends_and_what_fits_later_waits(
    moves: Moves,
) -> None:
    moves.ceilings(ceiling("everything", 150))
    moves.submit(2)
    moves.route(bound=100, route={"measured": False}, policy="p")
    claims = moves.claim(moves.queue(), by=BY_THE_HOUR)
    assert (len(claims.claimed), claims.waiting) == (1, 1)
