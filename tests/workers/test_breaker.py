"""The breaker: what opens it, what it lets through meanwhile, what closes it."""

import pytest

from tierqueue.router.outcome import (
    Accepted,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Rejected,
    Reply,
    Throttled,
    Unknown,
    Usage,
)
from tierqueue.workers.breaker import FAILURES, OPEN_FOR, WINDOW, Breaker

DOWN = Failed(kind="server_error", message="503", transient=True)
LOST = Unknown(kind="timeout", message="no reply in 30 s")
DONE = Completed(text="ok", usage=Usage(), model_served="m")
STOPPED = Interrupted(kind="drain")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def trip(breaker: Breaker) -> None:
    for _ in range(FAILURES):
        breaker.record(DOWN)


def test_a_new_breaker_lets_calls_through(breaker: Breaker) -> None:
    assert breaker.allows()
    assert breaker.retry_after() == 0


@pytest.mark.parametrize("failure", [DOWN, LOST])
def test_consecutive_failures_and_lost_replies_open_it(breaker: Breaker, failure: Reply) -> None:
    for _ in range(FAILURES - 1):
        breaker.record(failure)
    assert breaker.allows()
    breaker.record(failure)
    assert not breaker.allows()
    assert breaker.retry_after() == OPEN_FOR


@pytest.mark.parametrize(
    "answer",
    [
        DONE,
        Accepted(output={}, completed=DONE),
        Rejected(reasons=("schema",), usage=Usage(), model_served="m"),
        Throttled(after=3.0),
        Failed(kind="bad_request", message="400", transient=False),
    ],
)
def test_any_answer_in_between_keeps_it_closed(breaker: Breaker, answer: Reply | Outcome) -> None:
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.record(DOWN)
        breaker.record(answer)
    assert breaker.allows()


def test_throttling_alone_never_opens_it(breaker: Breaker) -> None:
    for _ in range(10 * FAILURES):
        breaker.record(Throttled())
    assert breaker.allows()


def test_calls_we_ended_ourselves_neither_open_it_nor_break_the_row(breaker: Breaker) -> None:
    for _ in range(10 * FAILURES):
        breaker.record(STOPPED)
    assert breaker.allows()
    for _ in range(FAILURES):
        breaker.record(STOPPED)
        breaker.record(DOWN)
    assert not breaker.allows()


def test_failures_far_apart_do_not_open_it(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3 * FAILURES):
        breaker.record(DOWN)
        clock.now += WINDOW / (FAILURES - 1) + 0.1
    assert breaker.allows()


def test_after_a_while_one_call_goes_through_and_the_others_wait(
    breaker: Breaker, clock: Clock
) -> None:
    trip(breaker)
    clock.now += OPEN_FOR - 0.5
    assert not breaker.allows()
    assert breaker.retry_after() == 0.5
    clock.now += 0.5
    assert breaker.retry_after() == 0
    assert [breaker.allows() for _ in range(4)] == [True, False, False, False]
    assert breaker.retry_after() == OPEN_FOR


def test_a_trial_that_is_answered_closes_it(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.now += OPEN_FOR
    assert breaker.allows()
    breaker.record(DONE)
    assert breaker.allows()
    assert breaker.allows()
    for _ in range(FAILURES - 1):
        breaker.record(DOWN)
    assert breaker.allows()


def test_a_trial_that_fails_opens_it_again_in_full(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.now += OPEN_FOR
    assert breaker.allows()
    clock.now += 4
    breaker.record(LOST)
    assert not breaker.allows()
    assert breaker.retry_after() == OPEN_FOR


def test_an_interrupted_trial_makes_room_for_the_next(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.now += OPEN_FOR
    assert breaker.allows()
    assert not breaker.allows()
    breaker.record(STOPPED)
    assert breaker.allows()
    assert not breaker.allows()


def test_a_trial_nobody_records_is_given_up(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.now += OPEN_FOR
    assert breaker.allows()
    clock.now += OPEN_FOR
    assert breaker.allows()


def test_failures_of_earlier_calls_do_not_keep_it_open_longer(
    breaker: Breaker, clock: Clock
) -> None:
    trip(breaker)
    clock.now += 10
    trip(breaker)
    assert breaker.retry_after() == OPEN_FOR - 10
