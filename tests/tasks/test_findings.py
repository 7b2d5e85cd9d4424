"""What the doctor says of progress: what is wrong is told apart from what is worth knowing."""

from typing import Any

import pytest

from tierqueue.ledger.pauses import Pause
from tierqueue.ledger.progress import Backlog, Process, Progress
from tierqueue.ledger.standings import CeilingStanding
from tierqueue.router.item import TIERS, Tier
from tierqueue.tasks.findings import findings

FLOWING = dict.fromkeys(TIERS, 8)


def process(room: str, tier: str | None = None, **told: Any) -> Process:
    defaults: dict[str, Any] = {
        "id": f"{tier or room}@here:1",
        "up": 600.0,
        "silent": 1.0,
        "since": {"looked": 0.1, "claimed": 1.0},
        "counts": {},
        "last_minute": {},
        "detail": {},
    }
    return Process(room=room, tier=tier, **{**defaults, **told})


def standing(*processes: Process, **told: Any) -> Progress:
    defaults: dict[str, Any] = {
        "backlog": {},
        "waiting": {},
        "paused": [],
        "dead": {},
        "running": 0,
        "overdue_leases": 0,
        "promises_owed": 0,
        "unreadable": 0,
    }
    return Progress(processes=list(processes), **{**defaults, **told})


ROUTING = process("routing")
GPU = process("worker", "gpu")


def wrong(progress: Progress, concurrency: dict[Tier, int] = FLOWING) -> list[str]:
    return [each.what for each in findings(progress, concurrency, []) if each.wrong]


def notes(progress: Progress, concurrency: dict[Tier, int] = FLOWING) -> list[str]:
    return [each.what for each in findings(progress, concurrency, []) if not each.wrong]


def test_a_house_that_works_has_nothing_to_say() -> None:
    busy = standing(ROUTING, GPU, backlog={"gpu": Backlog(ready=900, oldest=120.0)}, running=8)
    assert findings(busy, FLOWING, []) == []


@pytest.mark.parametrize("processes", [[], [process("routing", silent=60.0)]])
def test_without_a_routing_stage_that_beats_something_is_wrong(processes: list[Process]) -> None:
    assert "no routing stage is alive" in wrong(standing(*processes))[0]


def test_a_routing_stage_that_beats_but_does_not_look_is_wrong() -> None:
    stuck = process("routing", since={"looked": 45.0})
    assert "has not looked" in wrong(standing(stuck))[0]
    assert "has not looked" in wrong(standing(process("routing", since={}, up=40.0)))[0]
    assert wrong(standing(process("routing", since={}, up=4.0))) == []


def test_submitted_items_that_nobody_routes_are_wrong() -> None:
    assert wrong(standing(ROUTING, backlog={"route": Backlog(ready=3, oldest=5.0)})) == []
    [said] = wrong(standing(ROUTING, backlog={"route": Backlog(ready=3, oldest=45.0)}))
    assert said.startswith("3 submitted items are not routed")


def test_a_tier_with_backlog_and_no_worker_is_wrong_and_without_backlog_it_is_not() -> None:
    assert wrong(standing(ROUTING)) == []
    [said] = wrong(standing(ROUTING, GPU, backlog={"frontier": Backlog(ready=1, oldest=0.5)}))
    assert "no worker of that tier is alive" in said


def test_ready_items_that_no_living_worker_claims_raise_an_alarm() -> None:
    idle = process("worker", "gpu", since={"claimed": 31.0})
    backlog = {"gpu": Backlog(ready=5, oldest=31.0)}
    [said] = wrong(standing(ROUTING, idle, backlog=backlog))
    assert "none was claimed in the last 30 seconds" in said
    assert wrong(standing(ROUTING, idle, GPU, backlog=backlog)) == []


def test_a_tier_that_was_stopped_on_purpose_is_a_note() -> None:
    stopped = {**FLOWING, Tier.GPU: 0}
    idle = process("worker", "gpu", since={"claimed": 3600.0})
    still = standing(ROUTING, idle, backlog={"gpu": Backlog(ready=5, oldest=999.0)})
    assert wrong(still, stopped) == []
    assert "set to 0" in notes(still, stopped)[0]


def test_answers_that_producers_were_not_told_are_wrong() -> None:
    assert "2 answers" in wrong(standing(ROUTING, promises_owed=2))[0]


def test_pauses_waits_resends_and_refused_answers_are_notes() -> None:
    told = standing(
        process("routing", last_minute={"resent": 4}),
        process(
            "worker", "gpu", last_minute={"stale_fences": 1}, detail={"breakers_open": ["house"]}
        ),
        paused=[Pause("budget", "acme", 0, "ada")],
        waiting={"requests_per_minute": 7},
        unreadable=2,
    )
    said = notes(told)
    assert wrong(told) == []
    for words in (
        "4 items were sent to their tier again",
        "1 answers came",
        "stopped calling house",
        "budget acme was paused by ada",
        "7 items wait: requests_per_minute",
        "2 messages could not be read",
    ):
        assert any(words in each for each in said), words


def test_a_ceiling_that_is_used_up_is_a_note_and_one_with_room_is_none() -> None:
    def ceiling(spent: int) -> CeilingStanding:
        return CeilingStanding(
            scope="budget",
            name="acme",
            window="day",
            start="2026-11-20",
            limit=10**9,
            spent=spent,
            held=0,
            set_by="policy",
        )

    [said] = findings(standing(ROUTING), FLOWING, [ceiling(10**9), ceiling(10**9 - 1)])
    assert (said.wrong, "budget acme is used up" in said.what) == (False, True)
