"""Claim and lease: who gets an item, what is held for it, and who waits or dies instead."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.ledger.road import LEASE, SECOND, WORKER, Road, ceiling, settlement
from tierqueue.ledger.lifecycle import items, leases, routes
from tierqueue.ledger.session import Ledger
from tierqueue.router.lifecycle import State

if TYPE_CHECKING:
    from tests.ledger.conftest import Everywhere


def test_a_claim_raises_the_fence_takes_a_lease_and_opens_an_attempt(road: Road) -> None:
    [item_id] = wanted = road.ready(bound=100)
    at = road.now()
    [claim] = road.claim(wanted, now=at).claimed
    row = road.row(item_id)
    assert (claim.fence, claim.held, claim.arguments) == (1, 100, row.arguments)
    assert (row.state, row.fence, row.held, row.lease_until) == ("running", 1, 100, at + LEASE)
    [attempt] = road.history(item_id)
    assert (attempt.fence, attempt.held, attempt.ended_at, attempt.worker) == (
        *(1, 100, None),
        "worker-1",
    )


def test_a_claim_under_another_fence_or_deployment_is_left_alone(road: Road) -> None:
    first, second, third = wanted = road.ready(3)
    assert road.claim({first: 1, "nobody": 0}).stale == 2
    elsewhere = replace(WORKER, deployment="large")
    assert road.claim({second: 0}, by=elsewhere).stale == 1
    assert len(road.claim(wanted).claimed) == 3
    assert road.claim({third: 0}).stale == 1


def test_a_slice_is_decided_item_by_item(road: Road) -> None:
    road.ceilings(ceiling("budget", 250))
    wanted = road.ready(3, bound=100, budget="acme") | road.ready(bound=100, budget="other")
    result = road.claim(wanted)
    assert (len(result.claimed), result.waiting, result.stale) == (3, 1, 0)
    assert road.books() == {
        "budget:acme:total:all": (200, 0, 200),
        "budget:other:total:all": (100, 0, 100),
    }


def test_a_claim_holds_in_every_ceiling_or_in_none(road: Road) -> None:
    road.ceilings(ceiling("budget", 1_000), ceiling("tier", 150), ceiling("everything", 1_000))
    result = road.claim(road.ready(2, bound=100))
    assert (len(result.claimed), result.waiting) == (1, 1)
    assert [held for held, _, _ in road.books().values()] == [100, 100, 100]


def test_what_only_others_holds_keep_out_waits_and_goes_when_they_come_back(road: Road) -> None:
    road.ceilings(ceiling("everything", 150))
    [first] = road.running(bound=100)
    [second] = wanted = road.ready(bound=100)
    assert road.claim(wanted).waiting == 1
    row = road.row(second)
    assert (row.state, row.reason) == (State.WAITING, "ceiling")
    assert row.ceiling == "everything:*:total:all"
    road.settle(settlement(first, cost=40))
    with road.ledger.write() as connection:
        assert routes.wake_due(connection, row.ready_at) == 1
    assert len(road.claim(road.queue()).claimed) == 1
    assert road.books() == {"everything:*:total:all": (100, 40, 140)}


def test_what_could_not_fit_if_every_hold_came_back_is_dead_and_says_why(road: Road) -> None:
    road.ceilings(ceiling("everything", 150))
    [first] = road.running(bound=100)
    road.settle(settlement(first, cost=60))
    result = road.claim(road.ready(bound=100))
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


def test_a_hopeless_ceiling_is_named_before_one_that_is_merely_full(road: Road) -> None:
    road.ceilings(ceiling("everything", 150), ceiling("budget", 90, name="acme"))
    road.running(bound=100, budget="other")
    [ending] = road.claim(road.ready(bound=100, budget="acme")).ends.ended
    assert ending.error is not None
    assert ending.error["fields"]["ceiling"] == "budget:acme:total:all"


def test_what_costs_nothing_fits_under_a_ceiling_that_is_overspent(road: Road) -> None:
    road.ceilings(ceiling("everything", 100))
    [first] = road.running(bound=100)
    road.settle(settlement(first, cost=130))
    assert road.books() == {"everything:*:total:all": (0, 130, 130)}
    assert len(road.claim(road.ready(bound=0)).claimed) == 1


def test_an_item_never_costs_more_than_its_own_ceiling(road: Road) -> None:
    [first] = road.running(bound=100, max_cost=150)
    road.settle(settlement(first, cost=80, outcome="failed", next_state=State.ROUTED))
    [ending] = road.claim(road.queue()).ends.ended
    assert ending.error is not None
    assert ending.error["fields"]["ceiling"] == f"item:{first.item.id}"
    assert ending.error["fields"]["spent"] == 80


def test_an_item_past_its_deadline_is_dead_at_the_claim(road: Road) -> None:
    deadline = road.now() + 60 * SECOND
    early, late = ({item: 0} for item in road.ready(2, deadline=deadline))
    assert len(road.claim(early, now=deadline).claimed) == 1
    [ending] = road.claim(late, now=deadline + SECOND).ends.ended
    assert ending.error is not None
    assert ending.error["reason"] == "deadline"
    assert ending.error["fields"]["late_seconds"] == 1.0


def test_a_jobs_items_stand_under_the_jobs_ceiling(road: Road) -> None:
    road.ceilings(ceiling("job", 150, name="job-1"))
    road.submit(job_id="job-1", job_index=0)
    road.submit(job_id="job-1", job_index=1)
    road.submit()
    road.route(bound=100)
    result = road.claim(road.queue())
    assert (len(result.claimed), result.waiting) == (2, 1)


def test_a_renewed_lease_lasts_and_a_lost_one_is_told(road: Road) -> None:
    mine, lost, stopped = road.running(3)
    road.expire(lost, cost=0)
    with road.ledger.write() as connection:
        assert items.cancel(connection, [stopped.item.id], "ada").ended == []
        until = mine.started_at + 99 * SECOND
        held = {claim.item.id: claim.fence for claim in (mine, lost, stopped)}
        told = leases.renew(connection, held, until)
    assert told == ({lost.item.id}, {stopped.item.id})
    assert road.row(mine.item.id).lease_until == until
    assert road.row(lost.item.id).lease_until is None


def test_only_a_lease_that_has_ended_has_lapsed(road: Road) -> None:
    [claim] = road.running()
    until = claim.started_at + LEASE
    with road.ledger.write() as connection:
        assert leases.lapsed(connection, until, 10) == []
        [(item, attempt)] = leases.lapsed(connection, until + 1, 10)
    assert (item.id, attempt.fence, attempt.held) == (claim.item.id, 1, 100)


def _claim_elsewhere(given: tuple[str, dict[str, int], str]) -> int:
    url, wanted, worker = given
    ledger = Ledger(url)
    claimed = Road(ledger).claim(wanted, by=replace(WORKER, worker=worker)).claimed
    ledger.close()
    return len(claimed)


def test_six_processes_that_want_one_slice_claim_each_item_once(
    road: Road, ledger_url: str, everywhere: "Everywhere"
) -> None:
    road.ceilings(ceiling("everything", 10_000_000))
    wanted = road.ready(20)
    counts = everywhere(
        _claim_elsewhere, [(ledger_url, wanted, f"worker-{number}") for number in range(6)]
    )
    assert sum(counts) == 20
    assert [len(road.history(item_id)) for item_id in wanted] == [1] * 20
    assert road.books() == {"everything:*:total:all": (2_000, 0, 2_000)}


def test_overlapping_slices_neither_deadlock_nor_double_a_claim(road: Road) -> None:
    road.ceilings(*(ceiling("budget", 10_000, name=name) for name in ("a", "b", "c")))
    wanted: dict[str, int] = {}
    for name in ("c", "a", "b"):
        wanted |= road.ready(10, budget=name)
    ids = list(wanted)

    def claim_and_settle(turn: int) -> int:
        some = dict.fromkeys(ids[turn:] + ids[:turn], 0)
        claimed = road.claim(some).claimed
        road.settle(*(settlement(claim) for claim in reversed(claimed)))
        return len(claimed)

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(claim_and_settle, range(30))) == 30
    assert {spent for _, spent, _ in road.books().values()} == {700}
