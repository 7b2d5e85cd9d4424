"""Claim and lease: who gets an item, what is held for it, and who waits or dies instead."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.ledger.moves import LEASE_US, SECOND, WORKER, Moves, ceiling, settlement
from tierqueue.ledger.lifecycle import items, leases, routes
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items as rows
from tierqueue.router.lifecycle import State

if TYPE_CHECKING:
    from tests.ledger.conftest import Everywhere


def test_a_claim_raises_the_fence_takes_a_lease_and_opens_an_attempt(moves: Moves) -> None:
    [item_id] = wanted = moves.ready(bound=100)
    at = moves.now()
    [claim] = moves.claim(wanted, now=at).claimed
    row = moves.row(item_id)
    assert (claim.fence, claim.held, claim.arguments) == (1, 100, row.arguments)
    assert (row.state, row.fence, row.held, row.lease_until) == ("running", 1, 100, at + LEASE_US)
    [attempt] = moves.history(item_id)
    assert (attempt.fence, attempt.held, attempt.ended_at, attempt.worker) == (
        *(1, 100, None),
        "worker-1",
    )


def test_a_claim_under_another_fence_or_deployment_is_left_alone(moves: Moves) -> None:
    first, second, third = wanted = moves.ready(3)
    assert moves.claim({first: 1, "nobody": 0}).stale == 2
    elsewhere = replace(WORKER, deployment="large")
    assert moves.claim({second: 0}, by=elsewhere).stale == 1
    assert len(moves.claim(wanted).claimed) == 3
    assert moves.claim({third: 0}).stale == 1


def test_a_slice_is_decided_item_by_item(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 250))
    wanted = moves.ready(3, bound=100, budget="acme") | moves.ready(bound=100, budget="other")
    result = moves.claim(wanted)
    assert (len(result.claimed), result.waiting, result.stale) == (3, 1, 0)
    assert moves.books() == {
        "budget:acme:total:all": (200, 0, 200),
        "budget:other:total:all": (100, 0, 100),
    }


def test_a_claim_holds_in_every_ceiling_or_in_none(moves: Moves) -> None:
    moves.ceilings(ceiling("budget", 1_000), ceiling("tier", 150), ceiling("everything", 1_000))
    result = moves.claim(moves.ready(2, bound=100))
    assert (len(result.claimed), result.waiting) == (1, 1)
    assert [held for held, _, _ in moves.books().values()] == [100, 100, 100]


def test_what_only_others_holds_keep_out_waits_and_goes_when_they_come_back(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 150))
    [first] = moves.running(bound=100)
    [second] = wanted = moves.ready(bound=100)
    assert moves.claim(wanted).waiting == 1
    row = moves.row(second)
    assert (row.state, row.reason) == (State.WAITING, "ceiling")
    assert row.ceiling == "everything:*:total:all"
    moves.settle(settlement(first, cost=40))
    with moves.ledger.write() as connection:
        assert routes.wake_due(connection, row.ready_at) == 1
    assert len(moves.claim(moves.queue()).claimed) == 1
    assert moves.books() == {"everything:*:total:all": (100, 40, 140)}


def test_what_could_not_fit_if_every_hold_came_back_is_dead_and_says_why(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 150))
    [first] = moves.running(bound=100)
    moves.settle(settlement(first, cost=60))
    result = moves.claim(moves.ready(bound=100))
    assert result.claimed == []
    [ending] = result.ends.ended
    assert ending.state == "dead"
    assert ending.error is not None
    assert ending.error["reason"] == "cost_ceiling"
    assert ending.error["fields"] == {
        "item": ending.item_id,
        "ceiling": "everything:*:total:all",
        "limit": 150,
        "spent": 60,
        "held": 0,
        "needed": 100,
    }


def test_a_hopeless_ceiling_is_named_before_one_that_is_merely_full(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 150), ceiling("budget", 90, name="acme"))
    moves.running(bound=100, budget="other")
    [ending] = moves.claim(moves.ready(bound=100, budget="acme")).ends.ended
    assert ending.error is not None
    assert ending.error["fields"]["ceiling"] == "budget:acme:total:all"


def test_what_costs_nothing_fits_under_a_ceiling_that_is_overspent(moves: Moves) -> None:
    moves.ceilings(ceiling("everything", 100))
    [first] = moves.running(bound=100)
    moves.settle(settlement(first, cost=130))
    assert moves.books() == {"everything:*:total:all": (0, 130, 130)}
    assert len(moves.claim(moves.ready(bound=0)).claimed) == 1


def test_an_item_never_costs_more_than_its_own_ceiling(moves: Moves) -> None:
    [first] = moves.running(bound=100, max_cost=150)
    moves.settle(settlement(first, cost=80, outcome="failed", next_state=State.ROUTED))
    claims = moves.claim(moves.queue())
    assert (claims.claimed, claims.ends.ended) == ([], [])
    # The routing stage knows where it still fits, and ends it where it fits nowhere.
    row = moves.row(first.item.id)
    assert (row.state, row.spent, row.held) == ("submitted", 80, 0)


def test_an_item_past_its_deadline_is_dead_at_the_claim(moves: Moves) -> None:
    deadline = moves.now() + 60 * SECOND
    early, late = ({item: 0} for item in moves.ready(2, deadline=deadline))
    assert len(moves.claim(early, now=deadline).claimed) == 1
    [ending] = moves.claim(late, now=deadline + SECOND).ends.ended
    assert ending.error is not None
    assert ending.error["reason"] == "deadline"
    assert ending.error["fields"]["late_seconds"] == 1.0


def test_a_jobs_items_stand_under_the_jobs_ceiling(moves: Moves) -> None:
    moves.ceilings(ceiling("job", 150, name="job-1"))
    moves.submit(job_id="job-1", job_index=0)
    moves.submit(job_id="job-1", job_index=1)
    moves.submit()
    moves.route(bound=100)
    result = moves.claim(moves.queue())
    assert (len(result.claimed), result.waiting) == (2, 1)


def test_a_renewed_lease_lasts_and_a_lost_one_is_told(moves: Moves) -> None:
    mine, lost, stopped = moves.running(3)
    moves.expire(lost, cost=0)
    with moves.ledger.write() as connection:
        assert items.cancel(connection, [stopped.item.id], "ada").ended == []
        until = mine.started_at + 99 * SECOND
        held = {claim.item.id: claim.fence for claim in (mine, lost, stopped)}
        told = leases.renew(connection, held, until)
    assert told == ({lost.item.id}, {stopped.item.id})
    assert moves.row(mine.item.id).lease_until == until
    assert moves.row(lost.item.id).lease_until is None


def test_only_a_lease_that_has_ended_has_lapsed(moves: Moves) -> None:
    [claim] = moves.running()
    until = claim.started_at + LEASE_US
    with moves.ledger.write() as connection:
        assert leases.lapsed(connection, until, 10) == []
        [(item, attempt)] = leases.lapsed(connection, until + 1, 10)
    assert (item.id, attempt.fence, attempt.held) == (claim.item.id, 1, 100)


def _claim_elsewhere(given: tuple[str, dict[str, int], str]) -> int:
    url, wanted, worker = given
    ledger = Ledger(url)
    claimed = Moves(ledger).claim(wanted, by=replace(WORKER, worker=worker)).claimed
    ledger.close()
    return len(claimed)


def test_six_processes_that_want_one_slice_claim_each_item_once(
    moves: Moves, ledger_url: str, everywhere: "Everywhere"
) -> None:
    moves.ceilings(ceiling("everything", 10_000_000))
    wanted = moves.ready(20)
    counts = everywhere(
        _claim_elsewhere, [(ledger_url, wanted, f"worker-{number}") for number in range(6)]
    )
    assert sum(counts) == 20
    assert [len(moves.history(item_id)) for item_id in wanted] == [1] * 20
    assert moves.books() == {"everything:*:total:all": (2_000, 0, 2_000)}


def test_overlapping_slices_neither_deadlock_nor_double_a_claim(moves: Moves) -> None:
    moves.ceilings(*(ceiling("budget", 10_000, name=name) for name in ("a", "b", "c")))
    wanted: dict[str, int] = {}
    for name in ("c", "a", "b"):
        wanted |= moves.ready(10, budget=name)
    ids = list(wanted)

    def claim_and_settle(turn: int) -> int:
        some = dict.fromkeys(ids[turn:] + ids[:turn], 0)
        claimed = moves.claim(some).claimed
        moves.settle(*(settlement(claim) for claim in reversed(claimed)))
        return len(claimed)

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(claim_and_settle, range(30))) == 30
    assert {spent for _, spent, _ in moves.books().values()} == {700}


def test_what_has_no_time_for_the_flex_tier_any_more_is_routed_anew_and_holds_nothing(
    moves: Moves,
) -> None:
    late, early = moves.submit(2)
    now = moves.now()
    moves.route(lane="flex")
    fences = moves.queue()
    with moves.ledger.write() as connection:
        least = 600 * SECOND
        for item_id, left in ((late, least - 1), (early, 2 * least)):
            there = rows.c.id == item_id
            connection.execute(rows.update().where(there).values(deadline=now + left))
    claims = moves.claim(fences, by=replace(WORKER, flex_us=least))
    assert [claim.item.id for claim in claims.claimed] == [early]
    assert (moves.row(late).state, moves.row(late).held) == (State.SUBMITTED, 0)


def test_what_waits_for_the_flex_tier_goes_by_the_choice_again(moves: Moves) -> None:
    flex, live = moves.submit(2)
    moves.route(lane=None)
    with moves.ledger.write() as connection:
        connection.execute(rows.update().where(rows.c.id == flex).values(lane="flex"))
    fences = moves.queue()
    with moves.ledger.write() as connection:
        routes.give_back(connection, fences, moves.now() + SECOND, "in_flight")
    moves.wake()
    assert (moves.row(flex).state, moves.row(live).state) == (State.SUBMITTED, State.ROUTED)
