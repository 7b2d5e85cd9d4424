"""Engine seconds are shared fairly and add up."""

import pytest

from tierqueue.workers.engines.engine_time import EngineTime


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_instant_is_shared_equally_by_the_calls_in_flight() -> None:
    clock = Clock()
    time = EngineTime(clock)
    first = time.enter()
    clock.now = 2.0  # the first alone: 2 s
    second = time.enter()
    clock.now = 6.0  # both: 2 s each
    assert time.leave(first) == pytest.approx(4.0)
    clock.now = 9.0  # the second alone: 3 s
    assert time.leave(second) == pytest.approx(5.0)


def test_idle_time_is_nobodys() -> None:
    clock = Clock()
    time = EngineTime(clock)
    time.leave(time.enter())
    clock.now = 100.0
    mark = time.enter()
    clock.now = 101.0
    assert time.leave(mark) == pytest.approx(1.0)


def test_the_shares_add_up_to_the_busy_time() -> None:
    clock = Clock()
    time = EngineTime(clock)
    marks: list[float] = []
    shares = 0.0
    for step in range(50):
        clock.now += 0.1 + step % 3
        marks.append(time.enter())
        if step % 2:
            clock.now += 0.7
            shares += time.leave(marks.pop(0))
    began = 0.1  # the first call entered here
    while marks:
        clock.now += 0.3
        shares += time.leave(marks.pop())
    assert shares == pytest.approx(clock.now - began)


def test_the_seconds_of_a_cancelled_call_are_told_once() -> None:
    clock = Clock()
    time = EngineTime(clock)
    mark = time.enter()
    clock.now = 3.0
    time.cut("item", 2, mark)
    time.leave(mark)
    assert time.was_cut("item", 1) == 0.0
    assert time.was_cut("item", 2) == pytest.approx(3.0)
    assert time.was_cut("item", 2) == 0.0
