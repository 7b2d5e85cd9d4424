"""SIGTERM: claim nothing more, finish what ends in time, give the rest back or book it."""

from typing import Any

import pytest

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.waiting import until
from tierqueue.router.errors import ChargeUnknown
from tierqueue.tasks import classify

LABELS = ["lost card", "refund"]
GRACE_SECONDS = 10
"""Seconds; the last three are for what is given back or booked."""


@pytest.fixture(scope="module")
def running(build_system: Build) -> RunningSystem:
    """A system whose grace period is short."""
    return build_system(
        processes=("sandbox", "routing", "gpu", "open_weight"),
        environ={"TIERQUEUE_GRACE": str(GRACE_SECONDS), "TIERQUEUE_LEASE": "20"},
    )


def _running(running: RunningSystem, text: str, **demands: Any) -> Any:
    waiting = classify.delay(text, labels=LABELS, **demands)
    # What stays, however late it is looked for: a short call may have ended by then.
    until(lambda: running.attempts(waiting.id))
    return waiting


def test_a_call_that_ends_within_the_grace_period_is_settled(running: RunningSystem) -> None:
    waiting = _running(running, "[[sandbox:hang seconds=1]] one")
    worker = running.system.processes["gpu"]
    worker.end()
    assert worker.wait(60) == 0
    assert running.item(waiting.id).state == "succeeded"
    running.system.spawn("gpu").wait_ready()


def test_house_work_that_outlasts_the_grace_period_is_given_back(running: RunningSystem) -> None:
    waiting = _running(running, "[[sandbox:hang seconds=18 times=1]] two")
    worker = running.system.processes["gpu"]
    worker.end()
    assert worker.wait(60) == 0
    row = running.item(waiting.id)
    assert row.state in {"routed", "queued"}
    assert (row.held, row.calls, row.lost_claims) == (0, 0, 0)
    running.system.spawn("gpu").wait_ready()
    assert waiting.get(timeout=60)["receipt"]["attempts"] == 1


def test_a_paid_call_that_outlasts_the_grace_period_is_booked_as_unknown(
    running: RunningSystem,
) -> None:
    waiting = _running(running, "[[sandbox:hang seconds=18]] three", floor="open_weight")
    worker = running.system.processes["open_weight"]
    worker.end()
    assert worker.wait(60) == 0
    with pytest.raises(ChargeUnknown):
        waiting.get(timeout=60)
    (attempt,) = running.attempts(waiting.id)
    assert attempt.outcome == "unknown"
    assert attempt.cost == attempt.held > 0
    running.system.spawn("open_weight").wait_ready()


def test_nothing_new_is_claimed_after_the_signal(running: RunningSystem) -> None:
    _running(running, "[[sandbox:hang seconds=2]] four")
    worker = running.system.processes["gpu"]
    worker.end()
    late = classify.delay("five", labels=LABELS)
    assert worker.wait(60) == 0
    assert running.attempts(late.id) == []
    running.system.spawn("gpu").wait_ready()
    assert late.get(timeout=60)["output"]
