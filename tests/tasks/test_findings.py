"""What the doctor says: judged by progress and by how items end; nothing uncertain is promised."""

from dataclasses import asdict
from typing import Any

import pytest

from tierqueue.ledger.backlog import Backlog, Running, Waiting
from tierqueue.ledger.endings import Deaths, Ended, Toll
from tierqueue.ledger.pauses import Pause
from tierqueue.ledger.progress import Process, Progress
from tierqueue.ledger.standings import CeilingStanding
from tierqueue.router.item import TIERS, Tier
from tierqueue.tasks.findings import findings
from tierqueue.tasks.findings.finding import Facts, Finding

FLOWING = dict.fromkeys(TIERS, 8)
NOW = 1_700_000_000_000_000


def process(room: str, tier: str | None = None, **told: Any) -> Process:
    defaults: dict[str, Any] = {
        "id": f"{tier or room}@here:1",
        "up": 600.0,
        "silent": 1.0,
        "since": {"looked": 0.1, "claimed": 1.0, "ended": 1.0},
        "counts": {},
        "last_minute": {"ended": 120},
        "detail": {},
    }
    return Process(room=room, tier=tier, **{**defaults, **told})


ROUTING = process("routing")
GPU = process("worker", "gpu")


def facts(*processes: Process, **told: Any) -> Facts:
    progress: dict[str, Any] = {
        "backlog": {},
        "waiting": [],
        "running": [],
        "paused": [],
        "dead": {},
        "overdue_leases": 0,
        "promises_owed": 0,
        "unreadable": 0,
    }
    of_progress = {name: told.pop(name) for name in list(told) if name in progress}
    defaults: dict[str, Any] = {
        "concurrency": FLOWING,
        "patience_seconds": dict.fromkeys(TIERS, 60.0),
        "providers": {},
        "ceilings": [],
        "toll": Toll(since=0, acknowledged_at=None, deaths=[], ended=0),
        "lately": [],
        "now": NOW,
    }
    stands = Progress(processes=list(processes), **{**progress, **of_progress})
    return Facts(progress=stands, **{**defaults, **told})


def ready(number: int, seconds: float) -> dict[str, Backlog]:
    return {"gpu": Backlog(ready=number, oldest_seconds=seconds)}


def wrong(looked: Facts) -> dict[str, Finding]:
    return {finding.code: finding for finding in findings(looked) if finding.wrong}


def notes(looked: Facts) -> dict[str, Finding]:
    return {finding.code: finding for finding in findings(looked) if not finding.wrong}


def waits(code: str, items: int, detail: str = "", least: int = 0) -> Waiting:
    return Waiting(
        code=code, detail=detail, tier="gpu", deployment="house", items=items, least=least
    )


def died(reason: str, items: int, kind: str = "", **told: Any) -> Deaths:
    group: dict[str, Any] = {
        "task": "tierqueue.classify",
        "deployment": "house",
        "spent": 4_000_000_000,
        "first_at": NOW - 600_000_000,
        "last_at": NOW - 180_000_000,
        "example": "01a1",
    }
    return Deaths(reason=reason, kind=kind, items=items, **{**group, **told})


def toll(ended: int, *deaths: Deaths) -> Toll:
    return Toll(since=NOW - 3_600_000_000, acknowledged_at=None, deaths=list(deaths), ended=ended)


def ceiling(**told: Any) -> CeilingStanding:
    stated: dict[str, Any] = {
        "scope": "budget",
        "name": "acme",
        "window": "day",
        "start": "2026-11-20",
        "limit": 10**9,
        "spent": 0,
        "held": 0,
        "set_by": "policy",
    }
    return CeilingStanding(**{**stated, **told})


def test_a_system_that_works_has_nothing_to_say() -> None:
    assert findings(facts(ROUTING, GPU, backlog=ready(900, 12.0))) == []


@pytest.mark.parametrize("processes", [[], [process("routing", silent=60.0)]])
def test_without_a_routing_stage_that_beats_something_is_wrong(processes: list[Process]) -> None:
    assert "no_routing_stage" in wrong(facts(*processes))


def test_a_routing_stage_that_beats_but_does_not_look_is_wrong() -> None:
    assert "routing_stage_stuck" in wrong(facts(process("routing", since={"looked": 45.0})))
    assert "routing_stage_stuck" in wrong(facts(process("routing", since={}, up=40.0)))
    assert wrong(facts(process("routing", since={}, up=4.0))) == {}


def test_submitted_items_that_nobody_routes_are_wrong() -> None:
    new = facts(ROUTING, backlog={"route": Backlog(ready=3, oldest_seconds=5.0)})
    assert wrong(new) == {}
    old = facts(ROUTING, backlog={"route": Backlog(ready=3, oldest_seconds=45.0)})
    assert wrong(old)["routing_behind"].what.startswith("3 submitted items not routed")


def test_a_tier_with_backlog_and_no_worker_is_wrong_and_without_backlog_it_is_not() -> None:
    assert wrong(facts(ROUTING)) == {}
    unserved = facts(ROUTING, backlog=ready(1, 0.5))
    assert "no worker of that tier is alive" in wrong(unserved)["no_worker"].what


def test_work_that_waits_while_nothing_ends_is_wrong_although_something_is_claimed() -> None:
    idle = process("worker", "gpu", since={"claimed": 1.0, "ended": 31.0})
    assert "tier_stuck" in wrong(facts(ROUTING, idle, backlog=ready(5, 45.0)))
    assert wrong(facts(ROUTING, idle, GPU, backlog=ready(5, 45.0))) == {}


def test_a_call_that_runs_has_the_time_its_deployment_allows() -> None:
    busy = process("worker", "gpu", since={"claimed": 31.0, "ended": 31.0})
    runs = [Running(tier="gpu", deployment="house", calls=8, oldest_seconds=31.0)]
    assert wrong(facts(ROUTING, busy, backlog=ready(5, 45.0), running=runs)) == {}
    hung = process("worker", "gpu", since={"claimed": 95.0, "ended": 95.0})
    assert "tier_stuck" in wrong(facts(ROUTING, hung, backlog=ready(5, 99.0), running=runs))


def test_a_limiter_that_spreads_calls_is_no_fault() -> None:
    slow = process("worker", "gpu", since={"claimed": 31.0, "ended": 31.0})
    limited = [waits("requests_per_minute, in_flight", 40)]
    assert wrong(facts(ROUTING, slow, backlog=ready(5, 45.0), waiting=limited)) == {}


def test_a_backlog_that_grows_old_is_told_with_its_pace() -> None:
    found = notes(facts(ROUTING, GPU, backlog=ready(109, 45.0)))["backlog"]
    assert found.what == (
        "109 items ready for tier gpu, the oldest for 45 s; 2 end a second, so that 54 s are ahead"
    )
    assert found.detail["ended_per_second"] == 2.0


def test_a_worker_of_an_older_release_tells_no_pace_and_is_not_stuck_for_that() -> None:
    older = process("worker", "gpu", since={"claimed": 2.0}, last_minute={"stale_fences": 0})
    found = findings(facts(ROUTING, older, backlog=ready(5, 45.0)))
    assert [(finding.code, finding.wrong) for finding in found] == [("backlog", False)]


def test_a_tier_that_was_stopped_on_purpose_is_a_note() -> None:
    idle = process("worker", "gpu", since={"claimed": 3600.0})
    stopped = {**FLOWING, Tier.GPU: 0}
    still = facts(ROUTING, idle, backlog=ready(5, 999.0), concurrency=stopped)
    assert wrong(still) == {}
    assert "set to 0" in notes(still)["tier_stopped"].what


def test_a_provider_that_is_down_while_items_wait_for_it_is_wrong() -> None:
    down = process("worker", "gpu", detail={"breakers_open": ["house"]})
    assert wrong(facts(ROUTING, down)) == {}
    found = wrong(facts(ROUTING, down, waiting=[waits("breaker open", 31)]))["deployment_stopped"]
    assert "31 items wait for it" in found.what
    assert "ends at its deadline" in found.meanwhile


def test_answers_that_producers_were_not_told_are_wrong() -> None:
    assert "2 answers" in wrong(facts(ROUTING, promises_owed=2))["producers_not_told"].what


def test_pauses_waits_resends_and_refused_answers_are_notes() -> None:
    looked = facts(
        process("routing", last_minute={"resent": 4}),
        process("worker", "gpu", last_minute={"stale_fences": 1}),
        paused=[Pause("budget", "acme", 0, "ada")],
        waiting=[waits("requests_per_minute", 7)],
        unreadable=2,
    )
    assert wrong(looked) == {}
    assert notes(looked).keys() == {
        "slices_resent",
        "answers_too_late",
        "paused",
        "waiting",
        "messages_unreadable",
    }
    assert "7 items wait for house" in notes(looked)["waiting"].what


def test_nothing_is_prophesied_of_what_waits() -> None:
    codes = ("throttled", "breaker open", "http_500", "not_before", "requests_per_minute")
    looked = facts(ROUTING, waiting=[waits(code, 3) for code in codes])
    for finding in findings(looked):
        assert "go on by themselves" not in f"{finding.what} {finding.meanwhile} {finding.do}"
        if finding.detail["reason"] != "not_before":
            assert "deadline" in finding.meanwhile


FULL = "budget:acme:day:2026-11-20"


def lately(cost: int) -> list[Ended]:
    return [Ended(tier="gpu", deployment="house", budget="acme", job=None, spent=cost)] * 5


def test_what_waits_for_a_ceiling_and_will_not_fit_is_wrong() -> None:
    full = ceiling(spent=700_000_000, held=290_000_000)
    looked = facts(
        ROUTING,
        ceilings=[full],
        waiting=[waits("ceiling", 343, FULL, least=20_000_000)],
        lately=lately(10_000_000),
    )
    found = wrong(looked)["ceiling_full"]
    assert "343 items wait for room in the ceiling budget:acme day" in found.what
    assert "about 29 fit" in found.what
    assert "dies with cost_ceiling" in found.meanwhile
    assert "tierqueue ceilings raise budget:acme day LIMIT --replay" in found.do
    assert found.detail["fitting_items"] == 29


def test_what_waits_for_a_ceiling_and_fits_at_the_price_of_the_last_ones_is_a_note() -> None:
    full = ceiling(spent=700_000_000, held=290_000_000)
    waiting = [waits("ceiling", 12, FULL, least=20_000_000)]
    assert "ceiling_full" in notes(
        facts(ROUTING, ceilings=[full], waiting=waiting, lately=lately(10_000_000))
    )
    unknown = notes(facts(ROUTING, ceilings=[full], waiting=waiting))["ceiling_full"]
    assert unknown.detail["fitting_items"] is None


def test_what_fits_no_more_is_wrong_whatever_the_last_ones_cost() -> None:
    full = ceiling(spent=990_000_000, held=10_000_000)
    waiting = [waits("ceiling", 12, FULL, least=20_000_000)]
    found = wrong(facts(ROUTING, ceilings=[full], waiting=waiting))["ceiling_full"]
    assert "none fits any more" in found.what


def test_a_ceiling_that_is_used_up_says_that_new_items_die_at_once() -> None:
    looked = facts(ROUTING, ceilings=[ceiling(spent=10**9), ceiling(name="b", spent=10**9 - 1)])
    assert wrong(looked) == {}
    found = notes(looked)["ceiling_used_up"]
    assert "budget:acme day is used up" in found.what
    assert "dies at once with cost_ceiling, also if the next day is near" in found.meanwhile


def test_the_ceiling_of_a_job_that_is_done_is_nobodys_business() -> None:
    assert findings(facts(ROUTING, ceilings=[ceiling(scope="job", spent=10**9)])) == []


def test_rows_that_died_are_wrong_with_what_ended_them_and_the_way_back() -> None:
    looked = facts(ROUTING, toll=toll(500, died("exhausted", 465, "http_500")))
    found = wrong(looked)["died"]
    assert found.what == (
        "465 items died: exhausted, http_500 (tierqueue.classify on house), the last one 3 min"
        " ago; they had cost $4.00"
    )
    assert found.do.startswith(
        "tierqueue dead-letters show 01a1 (see what its last call failed of)"
    )
    assert "replay --reason exhausted --task tierqueue.classify --yes" in found.do
    assert found.detail["items"] == 465
    assert found.detail["example_item"] == "01a1"


@pytest.mark.parametrize("reason", ["no_route", "invalid", "rejected", "deadline"])
def test_single_items_that_brought_their_end_about_are_notes_and_many_are_wrong(
    reason: str,
) -> None:
    assert wrong(facts(ROUTING, toll=toll(1_000, died(reason, 3)))) == {}
    assert wrong(facts(ROUTING, toll=toll(1_000, died(reason, 30)))) == {}
    assert "died" in wrong(facts(ROUTING, toll=toll(100, died(reason, 30))))
    assert "died" in notes(facts(ROUTING, toll=toll(1_000, died(reason, 3))))


@pytest.mark.parametrize("reason", ["exhausted", "unknown", "poison", "egress", "unpriced"])
def test_what_only_a_person_brings_back_is_wrong_from_the_first_on(reason: str) -> None:
    assert "died" in wrong(facts(ROUTING, toll=toll(100_000, died(reason, 1))))


def test_what_died_of_a_ceiling_comes_back_with_it() -> None:
    shared = died("cost_ceiling", 40, FULL)
    looked = facts(ROUTING, ceilings=[ceiling(spent=10**9)], toll=toll(9_999, shared))
    assert "tierqueue ceilings raise budget:acme day LIMIT --replay" in wrong(looked)["died"].do
    assert "ceiling_used_up" not in notes(looked)
    own = notes(facts(ROUTING, toll=toll(9_999, died("cost_ceiling", 2, "item"))))["died"]
    assert "their own max_cost" in own.what
    assert "--max-cost" in own.do


def test_every_finding_is_plain_data_with_a_code() -> None:
    looked = facts(process("routing", silent=99.0), backlog=ready(5, 99.0), promises_owed=1)
    for finding in findings(looked):
        assert finding.code.isidentifier()
        assert asdict(finding)["detail"] == finding.detail
