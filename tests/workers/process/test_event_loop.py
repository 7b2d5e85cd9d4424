"""The worker's one event loop."""

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from tests.waiting import until
from tierqueue.workers.process.event_loop import EventLoopThread


def test_coroutines_of_all_threads_run_on_one_loop() -> None:
    loop = EventLoopThread()
    loop.start()

    async def where() -> tuple[int, int]:
        return threading.get_ident(), id(asyncio.get_running_loop())

    places: set[tuple[int, int]] = set()
    threads = [
        threading.Thread(target=lambda: places.add(loop.run(where(), timeout=60))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(places) == 1
    assert threading.get_ident() not in {ident for ident, _ in places}
    assert loop.stop(timeout=60)


def test_an_error_of_the_coroutine_reaches_the_thread_that_waits() -> None:
    loop = EventLoopThread()
    loop.start()

    async def fails() -> None:
        raise KeyError("told")

    with pytest.raises(KeyError, match="told"):
        loop.run(fails(), timeout=60)
    assert loop.stop(timeout=60)


def test_a_wait_that_times_out_cancels_the_coroutine() -> None:
    loop = EventLoopThread()
    loop.start()

    async def waits() -> None:
        await asyncio.Event().wait()

    async def others() -> int:
        return len(asyncio.all_tasks()) - 1

    with pytest.raises(TimeoutError):
        loop.run(waits(), timeout=0.05)
    until(lambda: loop.run(others(), timeout=60) == 0)
    assert loop.stop(timeout=60)


def test_stopping_cancels_what_runs_and_lets_it_clean_up() -> None:
    loop = EventLoopThread()
    loop.start()
    begun, cleaned = threading.Event(), threading.Event()

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    future = loop.submit(waits())
    assert begun.wait(60)
    assert loop.stop(timeout=60)
    assert cleaned.is_set()
    with pytest.raises(CancelledError):
        future.result(timeout=60)


def test_a_stopped_loop_refuses_work_and_can_be_stopped_again() -> None:
    loop = EventLoopThread()
    loop.start()
    assert loop.stop(timeout=60)
    assert loop.stop(timeout=60)

    async def never() -> None:
        raise AssertionError("it ran")

    with pytest.raises(RuntimeError, match="not running"):
        loop.submit(never())
    with pytest.raises(RuntimeError, match="not running"):
        EventLoopThread().submit(never())
