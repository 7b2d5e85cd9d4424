"""A ticker goes on whatever a tick raises, goes on at once while there is more, and ends."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.waiting import until
from tierqueue.tasks.ticker import Ticker

LONG = 3600.0
SHORT = 0.01


class Ticks:
    """What a ticker calls: each tick does what stands next in ``script``, then nothing."""

    def __init__(self, *script: Exception | bool) -> None:
        self.count = 0
        self._script: Iterator[Exception | bool] = iter(script)

    def __call__(self) -> bool:
        self.count += 1
        step = next(self._script, False)
        if isinstance(step, Exception):
            raise step
        return step


def test_it_ticks_at_once_and_again_until_it_is_stopped() -> None:
    ticks = Ticks()
    ticker = Ticker("test", ticks, SHORT)
    ticker.start()
    until(lambda: ticks.count >= 3)
    ticker.stop(wait=30)
    assert ticker.stopping
    assert not ticker._thread.is_alive()


def test_a_tick_with_more_to_do_is_followed_at_once() -> None:
    ticks = Ticks(True, True, True)
    ticker = Ticker("test", ticks, LONG)
    ticker.start()
    until(lambda: ticks.count == 4)
    ticker.stop(wait=30)
    assert ticks.count == 4


@pytest.mark.parametrize(
    ("error", "event", "level"),
    [
        (RuntimeError("out of order"), "tick_failed", "error"),
        (OperationalError("", {}, Exception("away")), "ledger_unreachable", "warning"),
    ],
)
def test_what_a_tick_raises_is_logged_and_the_next_tries_again(
    error: Exception, event: str, level: str
) -> None:
    ticks = Ticks(error)
    with capture_logs() as logs:
        ticker = Ticker("test", ticks, SHORT)
        ticker.start()
        until(lambda: ticks.count >= 2)
        ticker.stop(wait=30)
    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["of"]) == (event, level, "test")
    assert entry["error"] == type(error).__name__


def test_one_that_is_stopped_may_be_waited_for_until_its_tick_is_over() -> None:
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def tick() -> None:
        began.set()
        go_on.wait(30)
        ended.set()

    ticker = Ticker("test", tick, LONG)
    ticker.start()
    assert began.wait(30)
    threading.Timer(0.05, go_on.set).start()
    ticker.stop(wait=None)
    assert ended.is_set()


def test_one_that_was_never_started_can_be_stopped() -> None:
    Ticker("test", Ticks(), SHORT).stop(wait=30)
