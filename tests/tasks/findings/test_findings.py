"""What the doctor says: judged by progress and by how items end; nothing uncertain is promised."""

from dataclasses import asdict, replace

import pytest

from tests.tasks.findings.facts import (
    FLOWING,
    GPU,
    NOW,
    ROUTING,
    died,
    facts,
    notes,
    process,
    ready,
    toll,
    waits,
    wrong,
)
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.policies import AppliedPolicy
from tierqueue.ledger.monitoring.backlog import Backlog, RunningCalls
from tierqueue.ledger.monitoring.progress import Process
from tierqueue.router.condition import Condition
from tierqueue.router.item import Tier
from tierqueue.router.lifecycle import Wait
from tierqueue.router.outcome import NEEDS_SOMEBODY, Trouble
from tierqueue.tasks.findings import findings


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


def test_a_tier_whose_workers_load_their_models_is_told_so_and_is_not_stuck() -> None:
    loads = process("worker", "gpu", up=95.0, since={"loading": 90.0}, detail={"loading": "house"})
    looked = facts(ROUTING, loads, backlog=ready(5, 99.0))
    assert wrong(looked) == {}
    found = notes(looked)["engine_loading"]
    assert "its workers load their models: house for 90 s" in found.what
    assert found.detail["loading_seconds"] == {"house": 90.0}
    stuck = process("worker", "gpu", since={"claimed": 95.0, "ended": 95.0})
    assert "tier_stuck" in wrong(facts(ROUTING, loads, stuck, backlog=ready(5, 99.0)))


def test_work_that_waits_while_nothing_ends_is_wrong_although_something_is_claimed() -> None:
    idle = process("worker", "gpu", since={"claimed": 1.0, "ended": 31.0})
    assert "tier_stuck" in wrong(facts(ROUTING, idle, backlog=ready(5, 45.0)))
    assert wrong(facts(ROUTING, idle, GPU, backlog=ready(5, 45.0))) == {}


def test_a_call_that_runs_has_the_time_its_deployment_allows() -> None:
    busy = process("worker", "gpu", since={"claimed": 31.0, "ended": 31.0})
    runs = [RunningCalls(tier="gpu", deployment="house", calls=8, oldest_seconds=31.0)]
    assert wrong(facts(ROUTING, busy, backlog=ready(5, 45.0), running=runs)) == {}
    hung = process("worker", "gpu", since={"claimed": 95.0, "ended": 95.0})
    assert "tier_stuck" in wrong(facts(ROUTING, hung, backlog=ready(5, 99.0), running=runs))


def test_a_limiter_that_spreads_calls_is_no_fault() -> None:
    slow = process("worker", "gpu", since={"claimed": 31.0, "ended": 31.0})
    limited = [waits("requests_per_minute", 40)]
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


def test_a_provider_that_older_workers_call_no_more_while_items_wait_is_wrong() -> None:
    down = process("worker", "gpu", detail={"breakers_open": ["house"]})
    assert wrong(facts(ROUTING, down)) == {}
    found = wrong(facts(ROUTING, down, waiting=[waits("outage", 31)]))["deployment_stopped"]
    assert "31 items wait for it" in found.what
    assert "ends at its deadline" in found.meanwhile


def held(code: Trouble, seconds: int = 60) -> dict[str, Condition]:
    since = NOW - seconds * 1_000_000
    until = NOW + 4_000_000
    return {
        "house": Condition(
            deployment="house", code=code, detail="HTTP 503", since=since, until=until, faults=7
        )
    }


def refused(seconds: int) -> dict[str, Condition]:
    """Its key was refused last so many seconds ago, and nobody has called it since."""
    known = held("unauthorized", seconds + 5)["house"]
    return {"house": replace(known, faulted_at=NOW - seconds * 1_000_000)}


def test_a_refused_key_is_wrong_until_its_workers_were_restarted_or_somebody_says_so() -> None:
    looked = facts(ROUTING, GPU, conditions=refused(300))
    assert wrong(looked).keys() == {"deployment_stopped"}
    # All of them: one that still has the old key would be refused again.
    young = process("worker", "gpu", up=60.0)
    looked = facts(ROUTING, GPU, young, conditions=refused(300))
    assert wrong(looked).keys() == {"deployment_stopped"}
    for mended in (
        facts(ROUTING, young, conditions=refused(300)),
        facts(ROUTING, GPU, conditions=refused(300), acknowledged_at=NOW - 1_000_000),
    ):
        assert wrong(mended) == {}
        untried = notes(mended)["deployment_untried"]
        assert "was last refused 300 s ago: unauthorized" in untried.what
        assert "the next item for it tries it" in untried.meanwhile
    again = facts(ROUTING, GPU, conditions=refused(300), acknowledged_at=NOW - 400 * 1_000_000)
    assert wrong(again).keys() == {"deployment_stopped"}


def test_a_refused_key_for_which_items_wait_is_tried_by_itself_and_wrong_until_it_serves() -> None:
    young = process("worker", "gpu", up=60.0)
    looked = facts(ROUTING, young, conditions=refused(300), routed={"house": 1})
    assert wrong(looked).keys() == {"deployment_stopped"}


@pytest.mark.parametrize("code", [Wait.NOT_SERVED, Wait.OTHER_POLICY, Wait.LIMITER_AWAY])
def test_what_no_time_mends_is_judged_by_progress_and_not_by_an_item_s_age(code: Wait) -> None:
    waiting = [waits(code, 3, seconds=900.0)]
    assert wrong(facts(ROUTING, GPU, waiting=waiting)).keys() == {"waiting_in_vain"}
    for seconds, found in ((20, set[str]()), (40, {"waiting_in_vain"})):
        served = Condition(deployment="house", served_at=NOW - seconds * 1_000_000)
        looked = facts(ROUTING, GPU, waiting=waiting, conditions={"house": served})
        assert wrong(looked).keys() == found
    # One after the other is restarted: the new worker has had no time yet.
    restarted = process("worker", "gpu", up=10.0)
    assert wrong(facts(ROUTING, restarted, waiting=waiting)) == {}


def test_what_is_above_a_limiter_s_burst_waits_in_vain_whoever_is_served_beside_it() -> None:
    served = Condition(deployment="house", served_at=NOW)
    waiting = [waits(Wait.TOKEN_LIMIT, 1, seconds=90.0)]
    looked = facts(ROUTING, GPU, waiting=waiting, conditions={"house": served})
    assert wrong(looked).keys() == {"waiting_in_vain"}


def test_a_deployment_that_is_down_while_items_wait_for_it_is_wrong() -> None:
    waiting = [waits("deployment", 11)]
    looked = facts(ROUTING, GPU, conditions=held("outage"), waiting=waiting, routed={"house": 20})
    found = wrong(looked)["deployment_stopped"]
    assert found.what == (
        "deployment house (gpu) is not called: outage (HTTP 503), for 60 s; 31 items wait for it"
    )
    assert "one item at a time tries it again, in 4 s" in found.meanwhile
    assert "deadline" in found.meanwhile
    assert "status page" in found.do
    assert found.detail["waiting_items"] == 31


def test_a_deployment_that_was_down_for_a_moment_or_for_nobody_is_a_note() -> None:
    assert wrong(facts(ROUTING, conditions=held("outage", 5), routed={"house": 20})) == {}
    assert wrong(facts(ROUTING, conditions=held("unreachable"))) == {}
    assert wrong(facts(ROUTING, conditions=held("throttled", 45), routed={"house": 20})) == {}


@pytest.mark.parametrize("code", sorted(NEEDS_SOMEBODY))
def test_what_only_a_person_can_mend_is_wrong_at_once_and_says_what_to_mend(code: Trouble) -> None:
    found = wrong(facts(ROUTING, conditions=held(code, 1)))["deployment_stopped"]
    assert found.detail["trouble"] == code
    assert found.do


def test_a_throttling_for_minutes_is_wrong_at_once_and_a_short_one_is_not() -> None:
    for seconds, expected in ((20, set[str]()), (590, {"deployment_stopped"})):
        throttled = replace(held("throttled", 1)["house"], until=NOW + seconds * 1_000_000)
        looked = facts(ROUTING, GPU, conditions={"house": throttled}, waiting=[waits("x", 4)])
        assert wrong(looked).keys() == expected


def test_of_a_deployment_that_nothing_waits_for_no_trial_is_said() -> None:
    [condition] = held("quota").values()
    looked = facts(ROUTING, GPU, conditions={"house": replace(condition, until=NOW - 1)})
    found = wrong(looked)["deployment_stopped"]
    assert found.meanwhile == "nothing waits for it, so nothing tries it: the next item for it does"


def test_a_tier_without_a_deployment_that_serves_is_not_also_said_to_be_stuck() -> None:
    idle = process("worker", "gpu", since={"claimed": 99.0, "ended": 99.0})
    looked = facts(ROUTING, idle, backlog=ready(20, 99.0), conditions=held("outage"))
    assert [finding.code for finding in findings(looked)] == ["deployment_stopped"]


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


@pytest.mark.parametrize(
    "code", [Wait.NOT_SERVED, Wait.OTHER_POLICY, Wait.LIMITER_AWAY, Wait.TOKEN_LIMIT]
)
def test_what_waits_for_what_no_time_mends_is_wrong_once_it_lasts(code: str) -> None:
    new = facts(ROUTING, GPU, waiting=[waits(code, 6, seconds=20.0)])
    assert wrong(new) == {}
    assert f"6 items wait for house: {code}" in notes(new)["waiting"].what
    found = wrong(facts(ROUTING, GPU, waiting=[waits(code, 6, seconds=45.0)]))["waiting_in_vain"]
    assert found.what == f"6 items wait for house: {code}; the oldest was submitted 45 s ago"
    assert found.detail == {"reason": code, "items": 6, "oldest_seconds": 45.0}
    assert "unless it lasts" not in found.do


def test_nothing_is_prophesied_of_what_waits() -> None:
    codes = ("throttled", "outage", "http_500", "not_before", "requests_per_minute")
    looked = facts(ROUTING, waiting=[waits(code, 3) for code in codes])
    for finding in findings(looked):
        assert "go on by themselves" not in f"{finding.what} {finding.meanwhile} {finding.do}"
        if finding.detail["reason"] != "not_before":
            assert "deadline" in finding.meanwhile


def test_every_finding_is_plain_data_with_a_code() -> None:
    looked = facts(process("routing", silent=99.0), backlog=ready(5, 99.0), promises_owed=1)
    for finding in findings(looked):
        assert finding.code.isidentifier()
        assert asdict(finding)["detail"] == finding.detail


def test_a_tier_that_was_stopped_is_told_although_nothing_waits_for_it() -> None:
    stopped = {**FLOWING, Tier.GPU: 0}
    found = notes(facts(ROUTING, GPU, concurrency=stopped))["tier_stopped"]
    assert found.what == (
        "tier gpu is stopped, its calls in flight are set to 0: nothing waits for it now"
    )
    assert found.do == "to let it go on: tierqueue concurrency set gpu N"


def test_a_stopped_tier_without_a_worker_is_told_as_both() -> None:
    looked = facts(ROUTING, backlog=ready(2, 3.0), concurrency={**FLOWING, Tier.GPU: 0})
    assert "no_worker" in wrong(looked)
    assert "2 items ready for it" in notes(looked)["tier_stopped"].what


def test_a_superseded_stage_is_told_and_is_wrong_once_that_lasts() -> None:
    old = process("routing", id="old", since={"looked": 40.0, "superseded": 12.0})
    found = notes(facts(ROUTING, old))
    assert found.keys() == {"routing_stage_superseded"}
    assert (
        "the routing stage old routes nothing: for 12 s" in found["routing_stage_superseded"].what
    )
    lasting = process("routing", since={"looked": 90.0, "superseded": 31.0})
    assert wrong(facts(ROUTING, lasting)).keys() == {"routing_stage_superseded"}
    assert "no_routing_stage" in wrong(facts(lasting))


def test_a_worker_with_another_policy_than_the_one_in_force_is_told() -> None:
    mine, other = (process("worker", "gpu", detail={"policy": digest}) for digest in "ab")
    assert findings(facts(ROUTING, mine, GPU, policy="a")) == []
    assert notes(facts(ROUTING, mine, other, policy="a")).keys() == {"worker_policy_differs"}
    assert findings(facts(ROUTING, other)) == []
    silent = process("worker", "gpu", detail={"policy": "b"}, silent=60.0)
    assert findings(facts(ROUTING, silent, policy="a")) == []


def test_a_policy_file_that_counts_for_nothing_is_told() -> None:
    applied = AppliedPolicy(3, "a", "", 0, "ada", None)
    assert findings(facts(ROUTING, policy="a", applied=applied, file="a")) == []
    found = notes(facts(ROUTING, policy="a", applied=applied, file="b"))
    assert "version 3, which ada applied, is" in found["policy_file_differs"].what
    assert findings(facts(ROUTING, policy="b", file="a")) == []


def test_one_thing_is_spoken_of_as_one() -> None:
    one = facts(
        ROUTING,
        waiting=[waits("throttled", 1)],
        toll=toll(9, died("unknown", 1)),
        promises_owed=1,
    )
    said = {finding.code: finding.what for finding in findings(one)}
    assert said["waiting"].startswith("1 item waits for")
    assert said["died"].endswith("; it had cost $4.00")
    assert said["producers_not_told"].startswith("1 answer is in the ledger whose")
    many = facts(ROUTING, waiting=[waits("throttled", 2)], toll=toll(9, died("unknown", 2)))
    said = {finding.code: finding.what for finding in findings(many)}
    assert said["waiting"].startswith("2 items wait for")
    assert said["died"].endswith("; they had cost $4.00")
