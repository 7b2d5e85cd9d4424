"""Settle: the actual cost in place of the hold, under the fence; a stale writer changes nothing."""

import pytest

from tests.ledger.road import SECOND, Road, ceiling, settlement
from tierqueue.ledger.lifecycle import items
from tierqueue.router.lifecycle import State

EVERYTHING = "everything:*:total:all"


@pytest.fixture(autouse=True)
def _ceiling(road: Road) -> None:
    road.ceilings(ceiling("everything", 1_000))


def test_a_settled_item_has_its_answer_and_its_cost(road: Road) -> None:
    [claim] = road.running()
    result = road.settle(
        settlement(claim, usage={"input_tokens": 9}, seconds=0.5, simulated=True, detail={"x": [1]})
    )
    [ending] = result.ends.ended
    assert ending.answer == {"output": {"label": "card"}, "receipt": {"cost": 70}}
    row = road.row(claim.item.id)
    assert (row.state, row.spent, row.held, row.calls, row.lease_until) == (
        *("succeeded", 70, 0, 1),
        None,
    )
    assert (row.output, row.ended_at is None) == ({"label": "card"}, False)
    [attempt] = road.history(claim.item.id)
    assert (attempt.outcome, attempt.cost, attempt.usage) == ("accepted", 70, {"input_tokens": 9})
    assert (attempt.seconds, attempt.simulated, attempt.detail) == (0.5, True, {"x": [1]})
    assert road.books() == {EVERYTHING: (0, 70, 100)}


def test_a_throttled_item_waits_and_nothing_is_charged(road: Road) -> None:
    [claim] = road.running()
    later = road.now() + 30 * SECOND
    road.settle(
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
    row = road.row(claim.item.id)
    assert (row.state, row.ready_at, row.calls, row.throttles) == ("waiting", later, 0, 1)
    assert (row.ended_at, row.output) == (None, None)
    assert road.books() == {EVERYTHING: (0, 0, 100)}


def test_more_than_was_held_is_booked_whole(road: Road) -> None:
    [claim] = road.running(bound=100)
    road.settle(settlement(claim, cost=250))
    assert road.books() == {EVERYTHING: (0, 250, 250)}


def test_a_second_settle_under_the_same_fence_is_nothing(road: Road) -> None:
    [claim] = road.running()
    road.settle(settlement(claim))
    before = (road.row(claim.item.id), road.history(claim.item.id), road.books())
    result = road.settle(settlement(claim, cost=99, output={"label": "other"}))
    assert (result.ends.ended, len(result.stale)) == ([], 1)
    assert (road.row(claim.item.id), road.history(claim.item.id), road.books()) == before


def test_the_same_settle_twice_in_one_transaction_counts_once(road: Road) -> None:
    [claim] = road.running()
    result = road.settle(settlement(claim), settlement(claim))
    assert (len(result.ends.ended), len(result.stale)) == (1, 1)
    assert road.books() == {EVERYTHING: (0, 70, 100)}


def test_a_stale_fence_changes_no_state_and_its_charge_becomes_the_actual_one(road: Road) -> None:
    [zombie] = road.running()
    road.expire(zombie, cost=100)
    [heir] = road.claim(road.queue()).claimed
    running = road.row(zombie.item.id)
    assert (heir.fence, running.spent) == (2, 100)
    result = road.settle(settlement(zombie, cost=30))
    assert (result.ends.ended, [stale_write.fence for stale_write in result.stale]) == ([], [1])
    row = road.row(zombie.item.id)
    assert (row.state, row.fence, row.output, row.spent) == ("running", 2, None, 30)
    late = road.history(zombie.item.id)[0]
    assert (late.outcome, late.cost, late.detail) == ("late", 30, {"came_as": "accepted"})
    road.settle(settlement(heir, cost=70))
    assert road.row(zombie.item.id).spent == 100
    assert road.books() == {EVERYTHING: (0, 100, 200)}


def test_a_late_reply_corrects_the_books_once(road: Road) -> None:
    [zombie] = road.running()
    road.expire(zombie, cost=100, next_state=State.DEAD)
    for _ in range(3):
        road.settle(settlement(zombie, cost=30))
    row = road.row(zombie.item.id)
    assert (row.state, row.reason, row.spent, row.output) == ("dead", "unknown", 30, None)
    assert road.books() == {EVERYTHING: (0, 30, 100)}


def test_a_late_reply_that_is_unknown_too_leaves_the_booking(road: Road) -> None:
    [zombie] = road.running()
    road.expire(zombie, cost=100)
    road.settle(settlement(zombie, outcome="unknown", cost=100, next_state=State.DEAD))
    assert road.history(zombie.item.id)[0].outcome == "unknown"
    assert road.row(zombie.item.id).state == State.ROUTED
    assert road.books() == {EVERYTHING: (0, 100, 100)}


def test_stale_and_fresh_settles_in_one_transaction_each_get_their_own(road: Road) -> None:
    zombie, other = road.running(2)
    road.expire(zombie, cost=100)
    [heir] = road.claim(road.queue()).claimed
    result = road.settle(
        settlement(zombie, cost=10), settlement(heir, cost=20), settlement(other, cost=5)
    )
    assert (len(result.ends.ended), len(result.stale)) == (2, 1)
    assert road.row(zombie.item.id).spent == 30
    assert road.books() == {EVERYTHING: (0, 35, 300)}


def test_a_settle_of_an_item_that_is_gone_is_stale_and_harms_no_neighbour(road: Road) -> None:
    [claim] = road.running()
    result = road.settle(settlement(claim, item_id="gone"), settlement(claim))
    assert (len(result.stale), len(result.ends.ended)) == (1, 1)


def test_a_move_that_is_not_in_the_table_is_refused_and_nothing_is_written(road: Road) -> None:
    first, second = road.running(2)
    with pytest.raises(ValueError, match="no move from running to queued"):
        road.settle(settlement(first), settlement(second, next_state=State.QUEUED))
    assert road.row(first.item.id).state == State.RUNNING
    assert road.books() == {EVERYTHING: (200, 0, 200)}


def test_what_was_cancelled_while_it_ran_does_not_go_on(road: Road) -> None:
    [claim] = road.running()
    with road.ledger.write() as connection:
        assert items.cancel(connection, [claim.item.id], "ada").ended == []
    [ending] = road.settle(settlement(claim, outcome="failed", next_state=State.WAITING)).ends.ended
    assert ending.state == "cancelled"
    assert ending.error is not None
    assert ending.error["reason"] == "cancelled"
    row = road.row(claim.item.id)
    assert (row.state, row.reason, row.spent) == ("cancelled", "cancelled", 70)


def test_an_answer_that_came_before_the_cancel_is_kept(road: Road) -> None:
    [claim] = road.running()
    with road.ledger.write() as connection:
        items.cancel(connection, [claim.item.id], "ada")
    [ending] = road.settle(settlement(claim)).ends.ended
    assert ending.state == "succeeded"


def test_items_that_do_not_run_are_cancelled_at_once_and_ends_are_left(road: Road) -> None:
    [done] = road.running()
    road.settle(settlement(done))
    [queued] = road.ready()
    [submitted] = road.submit()
    with road.ledger.write() as connection:
        ends = items.cancel(connection, [submitted, queued, done.item.id, "nobody"], "ada")
    assert {ending.item_id for ending in ends.ended} == {submitted, queued}
    assert road.row(done.item.id).state == State.SUCCEEDED
    assert road.claim({queued: 0}).stale == 1
