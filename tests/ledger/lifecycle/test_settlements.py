"""Settle: the actual cost in place of the hold, under the fence; a stale writer changes nothing."""

import pytest

from tests.ledger.moves import SECOND, Moves, ceiling, settlement
from tierqueue.ledger.lifecycle import items
from tierqueue.router.lifecycle import State

EVERYTHING = "everything:*:total:all"


@pytest.fixture(autouse=True)
def _ceiling(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 1_000))


def test_a_settled_item_has_its_answer_and_its_cost(moves: Moves) -> None:
    [claim] = moves.running()
    result = moves.settle(
        settlement(claim, usage={"input_tokens": 9}, seconds=0.5, simulated=True, detail={"x": [1]})
    )
    [ending] = result.ends.ended
    assert ending.answer == {"output": {"label": "card"}, "receipt": {"cost": 70}}
    row = moves.row(claim.item.id)
    assert (row.state, row.spent, row.held, row.calls, row.lease_until) == (
        *("succeeded", 70, 0, 1),
        None,
    )
    assert (row.output, row.ended_at is None) == ({"label": "card"}, False)
    [attempt] = moves.history(claim.item.id)
    assert (attempt.outcome, attempt.cost, attempt.usage) == ("accepted", 70, {"input_tokens": 9})
    assert (attempt.seconds, attempt.simulated, attempt.detail) == (0.5, True, {"x": [1]})
    assert moves.books() == {EVERYTHING: (0, 70, 100)}


@pytest.mark.parametrize("confidence", [0.8125, None])
def test_the_confidence_of_an_answer_stands_on_its_attempt(
    moves: Moves, confidence: float | None
) -> None:
    [claim] = moves.running()
    moves.settle(settlement(claim, confidence=confidence))
    [attempt] = moves.history(claim.item.id)
    assert attempt.confidence == confidence
    [asked] = moves.submit(min_confidence=0.7)
    assert moves.row(asked).min_confidence == 0.7
    assert moves.row(claim.item.id).min_confidence is None


def test_a_throttled_item_waits_and_nothing_is_charged(moves: Moves) -> None:
    [claim] = moves.running()
    later = moves.now() + 30 * SECOND
    moves.settle(
        settlement(
            claim,
            outcome="throttled",
            cost=0,
            next_state=State.WAITING,
            reason="throttled",
            ready_at=later,
            output=None,
            receipt=None,
            calls_more=0,
            throttles_more=1,
        )
    )
    row = moves.row(claim.item.id)
    assert (row.state, row.ready_at, row.calls, row.throttles) == ("waiting", later, 0, 1)
    assert (row.ended_at, row.output) == (None, None)
    assert moves.books() == {EVERYTHING: (0, 0, 100)}


def test_more_than_was_held_is_booked_whole(moves: Moves) -> None:
    [claim] = moves.running(bound=100)
    moves.settle(settlement(claim, cost=250))
    assert moves.books() == {EVERYTHING: (0, 250, 250)}


def test_a_second_settle_under_the_same_fence_is_nothing(moves: Moves) -> None:
    [claim] = moves.running()
    moves.settle(settlement(claim))
    before = (moves.row(claim.item.id), moves.history(claim.item.id), moves.books())
    result = moves.settle(settlement(claim, cost=99, output={"label": "other"}))
    assert (result.ends.ended, len(result.stale)) == ([], 1)
    assert (moves.row(claim.item.id), moves.history(claim.item.id), moves.books()) == before


def test_the_same_settle_twice_in_one_transaction_counts_once(moves: Moves) -> None:
    [claim] = moves.running()
    result = moves.settle(settlement(claim), settlement(claim))
    assert (len(result.ends.ended), len(result.stale)) == (1, 1)
    assert moves.books() == {EVERYTHING: (0, 70, 100)}


def test_a_stale_fence_changes_no_state_and_its_charge_becomes_the_actual_one(moves: Moves) -> None:
    [zombie] = moves.running()
    moves.expire(zombie, cost=100)
    [heir] = moves.claim(moves.queue()).claimed
    running = moves.row(zombie.item.id)
    assert (heir.fence, running.spent) == (2, 100)
    result = moves.settle(settlement(zombie, cost=30))
    assert (result.ends.ended, [stale_write.fence for stale_write in result.stale]) == ([], [1])
    row = moves.row(zombie.item.id)
    assert (row.state, row.fence, row.output, row.spent) == ("running", 2, None, 30)
    late = moves.history(zombie.item.id)[0]
    assert (late.outcome, late.cost, late.detail) == ("late", 30, {"came_as": "accepted"})
    moves.settle(settlement(heir, cost=70))
    assert moves.row(zombie.item.id).spent == 100
    assert moves.books() == {EVERYTHING: (0, 100, 200)}


def test_a_late_reply_corrects_the_books_once(moves: Moves) -> None:
    [zombie] = moves.running()
    moves.expire(zombie, cost=100, next_state=State.DEAD)
    for _ in range(3):
        moves.settle(settlement(zombie, cost=30))
    row = moves.row(zombie.item.id)
    assert (row.state, row.reason, row.spent, row.output) == ("dead", "unknown", 30, None)
    assert moves.books() == {EVERYTHING: (0, 30, 100)}


def test_a_late_reply_that_is_unknown_too_leaves_the_booking(moves: Moves) -> None:
    [zombie] = moves.running()
    moves.expire(zombie, cost=100)
    moves.settle(settlement(zombie, outcome="unknown", cost=100, next_state=State.DEAD))
    assert moves.history(zombie.item.id)[0].outcome == "unknown"
    assert moves.row(zombie.item.id).state == State.ROUTED
    assert moves.books() == {EVERYTHING: (0, 100, 100)}


def test_stale_and_fresh_settles_in_one_transaction_each_get_their_own(moves: Moves) -> None:
    zombie, other = moves.running(2)
    moves.expire(zombie, cost=100)
    [heir] = moves.claim(moves.queue()).claimed
    result = moves.settle(
        settlement(zombie, cost=10), settlement(heir, cost=20), settlement(other, cost=5)
    )
    assert (len(result.ends.ended), len(result.stale)) == (2, 1)
    assert moves.row(zombie.item.id).spent == 30
    assert moves.books() == {EVERYTHING: (0, 35, 300)}


def test_a_settle_of_an_item_that_is_gone_is_stale_and_harms_no_neighbour(moves: Moves) -> None:
    [claim] = moves.running()
    result = moves.settle(settlement(claim, item_id="gone"), settlement(claim))
    assert (len(result.stale), len(result.ends.ended)) == (1, 1)


def test_a_move_that_is_not_in_the_table_is_refused_and_nothing_is_written(moves: Moves) -> None:
    first, second = moves.running(2)
    with pytest.raises(ValueError, match="no move from running to queued"):
        moves.settle(settlement(first), settlement(second, next_state=State.QUEUED))
    assert moves.row(first.item.id).state == State.RUNNING
    assert moves.books() == {EVERYTHING: (200, 0, 200)}


def test_what_was_cancelled_while_it_ran_does_not_go_on(moves: Moves) -> None:
    [claim] = moves.running()
    with moves.ledger.write() as connection:
        assert items.cancel(connection, [claim.item.id], "ada").ended == []
    [ending] = moves.settle(
        settlement(claim, outcome="failed", next_state=State.WAITING)
    ).ends.ended
    assert ending.state == "cancelled"
    assert ending.error is not None
    assert ending.error["reason"] == "cancelled"
    row = moves.row(claim.item.id)
    assert (row.state, row.reason, row.spent) == ("cancelled", "cancelled", 70)


def test_an_answer_that_came_before_the_cancel_is_kept(moves: Moves) -> None:
    [claim] = moves.running()
    with moves.ledger.write() as connection:
        items.cancel(connection, [claim.item.id], "ada")
    [ending] = moves.settle(settlement(claim)).ends.ended
    assert ending.state == "succeeded"


def test_items_that_do_not_run_are_cancelled_at_once_and_ends_are_left(moves: Moves) -> None:
    [done] = moves.running()
    moves.settle(settlement(done))
    [queued] = moves.ready()
    [submitted] = moves.submit()
    with moves.ledger.write() as connection:
        ends = items.cancel(connection, [submitted, queued, done.item.id, "nobody"], "ada")
    assert {ending.item_id for ending in ends.ended} == {submitted, queued}
    assert moves.row(done.item.id).state == State.SUCCEEDED
    assert moves.claim({queued: 0}).stale == 1


def test_what_a_piece_costs_that_ends_after_its_document_is_the_documents_cost(
    moves: Moves,
) -> None:
    [document] = moves.submit(split={"on_failure": "fail"})
    [claim] = moves.running(part_of=document, split={"from": 0, "to": 1})
    with moves.ledger.write() as connection:
        items.cancel(connection, [document], "ada")
    assert (moves.row(document).state, moves.row(document).spent) == ("cancelled", 0)
    moves.settle(settlement(claim))
    assert (moves.row(claim.item.id).spent, moves.row(document).spent) == (70, 70)


def test_what_a_late_reply_to_a_piece_corrects_is_corrected_of_its_ended_document(
    moves: Moves,
) -> None:
    [document] = moves.submit(split={"on_failure": "fail"})
    [claim] = moves.running(part_of=document, split={"from": 0, "to": 1})
    moves.expire(claim, cost=100)
    with moves.ledger.write() as connection:
        items.cancel(connection, [document], "ada")
    assert moves.row(document).spent == 100
    moves.settle(settlement(claim, cost=30))
    assert (moves.row(claim.item.id).spent, moves.row(document).spent) == (30, 30)
