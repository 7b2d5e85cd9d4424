"""How long a routing stage rests: never while there is work, ever longer while nothing moves."""

from itertools import pairwise

import pytest

from tierqueue.workers.routing_stage.pace import (
    BUSY_SECONDS,
    GATHER_SECONDS,
    PATIENT_SECONDS,
    TICK_SECONDS,
    Pace,
)


def test_work_is_gathered_for_a_moment_and_what_was_left_is_taken_at_once() -> None:
    pace = Pace()
    assert pace.after(moved=True, more=True, full=True, due_soon=True) == 0.0
    assert pace.after(moved=True, more=False, full=True, due_soon=True) == GATHER_SECONDS


def test_a_full_queue_is_looked_at_more_rarely_the_longer_it_stays_full() -> None:
    pace = Pace()
    rests = [pace.after(moved=False, more=False, full=True, due_soon=False) for _ in range(20)]
    assert rests[0] == BUSY_SECONDS
    assert rests[-1] == PATIENT_SECONDS < TICK_SECONDS
    elapsed = 0.0
    for rest, following in pairwise(rests):
        elapsed += rest
        assert following <= max(BUSY_SECONDS, elapsed + BUSY_SECONDS), (
            "as long again as it has been full"
        )
    assert pace.after(moved=True, more=False, full=True, due_soon=False) == GATHER_SECONDS
    assert pace.after(moved=False, more=False, full=True, due_soon=False) == BUSY_SECONDS


@pytest.mark.parametrize("full", [True, False])
def test_what_is_due_soon_is_looked_for_often_however_long_nothing_moves(full: bool) -> None:
    pace = Pace()
    for _ in range(10):
        pace.after(moved=False, more=False, full=True, due_soon=False)
    assert pace.after(moved=False, more=False, full=full, due_soon=True) == BUSY_SECONDS


def test_an_idle_stage_looks_once_a_tick() -> None:
    assert Pace().after(moved=False, more=False, full=False, due_soon=False) == TICK_SECONDS
