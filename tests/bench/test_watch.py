"""When an item of a killed worker counts as ready again: not before, and not after it was."""

from typing import get_args

import pytest

from bench.chaos.watch import Claim, ready
from bench.checker.run import Row
from tierqueue.router.lifecycle import Wait
from tierqueue.router.outcome import Trouble

KILLED = Claim("item", fence=3, at=100.0)
NOW = 105.0
LATER = round((NOW + 30) * 1e6)
LOST = Wait.LOST_CLAIM.value
OTHER = sorted({*get_args(Trouble), *(wait.value for wait in Wait)} - {LOST})


def row(state: str, reason: str | None = None, *, fence: int = 3, ready_at: int = 0) -> Row:
    return {"id": "item", "state": state, "reason": reason, "fence": fence, "ready_at": ready_at}


@pytest.mark.parametrize(
    "seen",
    [None, row("running"), row("waiting", LOST, ready_at=LATER)],
    ids=["unseen", "claimed", "backing-off"],
)
def test_what_nobody_may_take_yet_is_not_ready(seen: Row | None) -> None:
    assert not ready(KILLED, seen, NOW)


@pytest.mark.parametrize(
    "seen",
    [
        row("running", fence=4),
        row("waiting", LOST, ready_at=round((NOW - 1) * 1e6)),
        row("submitted", LOST),
        row("queued", LOST),
        row("dead", "poison"),
        row("succeeded"),
    ],
    ids=["claimed-anew", "due", "submitted", "queued", "dead", "succeeded"],
)
def test_what_may_be_taken_or_has_ended_is_ready(seen: Row) -> None:
    assert ready(KILLED, seen, NOW)


@pytest.mark.parametrize("met", OTHER)
def test_what_waits_for_something_else_by_now_was_ready_before(met: str) -> None:
    assert ready(KILLED, row("waiting", met, ready_at=LATER), NOW)
