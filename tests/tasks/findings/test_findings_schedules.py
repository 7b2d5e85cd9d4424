"""Schedules that nobody runs and those whose last run failed are told."""

from typing import Any

from tests.tasks.findings.facts import GPU, NOW, ROUTING, facts
from tierqueue.ledger.operations.schedules import Run, Schedule
from tierqueue.tasks.findings.schedules import findings

MINUTE = 60_000_000


def _schedule(**stated: Any) -> Schedule:
    filled: dict[str, Any] = {
        "name": "beat",
        "task": "tierqueue.complete",
        "call": {},
        "cron": None,
        "every": MINUTE,
        "timezone": "UTC",
        "missed": "once",
        "next_due": NOW + MINUTE,
        "added_at": NOW - MINUTE,
        "added_by": "ada",
    }
    return Schedule(**{**filled, **stated})


def _run(**stated: Any) -> Run:
    filled: dict[str, Any] = {
        "due": NOW,
        "at": NOW,
        "by": None,
        "item_id": "i",
        "job_id": None,
        "lease_until": None,
        "error": None,
        "state": "succeeded",
        "reason": None,
    }
    return Run(**{**filled, **stated})


def _codes(schedule: Schedule, run: Run | None) -> list[str]:
    return [finding.code for finding in findings(facts(ROUTING, GPU, schedules=[(schedule, run)]))]


def test_a_schedule_that_runs_as_it_should_is_nothing_to_tell() -> None:
    assert _codes(_schedule(), None) == []
    assert _codes(_schedule(), _run()) == []
    assert _codes(_schedule(), _run(item_id=None, state=None)) == []


def test_one_that_nobody_runs_is_overdue_unless_it_rests() -> None:
    late = NOW - 10 * MINUTE
    assert _codes(_schedule(next_due=late), None) == ["schedule_overdue"]
    assert _codes(_schedule(next_due=late, paused_at=NOW), None) == []


def test_one_whose_last_run_failed_says_why() -> None:
    dead = _run(state="dead", reason="no_route")
    assert _codes(_schedule(), dead) == ["schedule_failed"]
    assert _codes(_schedule(), _run(item_id=None, state=None, error="x")) == ["schedule_failed"]
    [finding] = findings(facts(ROUTING, GPU, schedules=[(_schedule(), dead)]))
    assert "no_route" in finding.what
    assert "tierqueue schedule show beat" in finding.do
