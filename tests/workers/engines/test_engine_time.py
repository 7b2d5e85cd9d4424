"""Engine seconds are shared fairly and add up, and a call gets no more of them than it may."""

import asyncio
import math
import time

import pytest

from tierqueue.workers.engines.engine_time import EngineTime, OutOfEngineTime


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


def test_a_call_that_has_had_its_time_is_ended() -> None:
    engine = EngineTime(time.monotonic)

    async def called() -> float:
        mark = engine.enter()
        with pytest.raises(OutOfEngineTime):
            await _waits(engine, mark, 0.05)
        return engine.leave(mark)

    assert asyncio.run(called()) >= 0.05


def test_a_call_that_shares_the_engine_is_ended_by_its_share_alone() -> None:
    clock = Clock()
    engine = EngineTime(clock)

    async def called() -> None:
        engine.enter()
        mark = engine.enter()
        async with engine.within(mark, 0.05):
            clock.now = 0.09  # of which it has had half
            await asyncio.sleep(0.2)
        clock.now = 0.11
        with pytest.raises(OutOfEngineTime):
            await _waits(engine, mark, 0.05)

    asyncio.run(called())


async def _waits(engine: EngineTime, mark: float, seconds: float) -> None:
    async with engine.within(mark, seconds):
        await asyncio.Event().wait()


def test_a_call_without_a_bound_of_its_own_is_not_ended() -> None:
    engine = EngineTime(time.monotonic)

    async def called() -> None:
        async with engine.within(engine.enter(), math.inf):
            await asyncio.sleep(0)

    asyncio.run(called())


def test_another_time_limit_within_is_no_sign_that_its_time_is_up() -> None:
    engine = EngineTime(time.monotonic)

    async def called() -> None:
        async with engine.within(engine.enter(), 60.0):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as raised:
        asyncio.run(called())
    assert not isinstance(raised.value, OutOfEngineTime)
