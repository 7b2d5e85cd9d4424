"""The gate of a worker process and the tier's bound."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from tierqueue.workers.limits.pool import Gate, TierConcurrency, bound_of


async def soon(true: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("the state waited for never came")


async def enter(gate: Gate, leave: asyncio.Event) -> None:
    async with gate:
        await leave.wait()


def on_a_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await test()

    asyncio.run(bounded())


def test_a_gate_lets_as_many_through_as_its_size() -> None:
    async def test() -> None:
        gate, leave = Gate(2), asyncio.Event()
        calls = [asyncio.create_task(enter(gate, leave)) for _ in range(7)]
        most = 0
        for _ in range(50):
            await asyncio.sleep(0)
            most = max(most, gate.in_flight)
        assert most == gate.in_flight == 2
        leave.set()
        await asyncio.gather(*calls)
        assert gate.in_flight == 0

    on_a_loop(test)


def test_a_gate_resized_from_another_thread_lets_more_in_and_then_fewer() -> None:
    async def test() -> None:
        gate, doors = Gate(2), [asyncio.Event() for _ in range(9)]
        calls = [asyncio.create_task(enter(gate, door)) for door in doors]
        await soon(lambda: gate.in_flight == 2)
        await asyncio.to_thread(gate.resize, 6)
        await soon(lambda: gate.in_flight == 6)
        await asyncio.to_thread(gate.resize, 1)
        assert gate.size == 1
        assert gate.in_flight == 6
        for door in doors[:6]:
            door.set()
        await asyncio.gather(*calls[:6])
        await asyncio.sleep(0)
        assert gate.in_flight == 1
        for door in doors:
            door.set()
        await asyncio.gather(*calls)
        assert gate.in_flight == 0

    on_a_loop(test)


def test_no_more_enter_than_is_worth_it_and_what_is_worth_it_is_asked_each_time() -> None:
    async def test() -> None:
        gate, worth = Gate(8), [3]
        gate.follow(lambda: worth[0])
        assert await gate.acquire(5) == 3, "what there is capacity for, after a moment"
        worth[0] = 20
        gate.release(1)
        assert await gate.acquire(5) == 5
        assert gate.in_flight == 7
        gate.release(7)
        assert await gate.acquire(20, urgent=True) == 8, "its size still bounds it"

    on_a_loop(test)


def test_the_least_that_is_worth_it_counts_and_who_waits_sees_it_raised() -> None:
    async def test() -> None:
        gate, worth = Gate(8), [None, 2]
        gate.follow(lambda: worth[0], lambda: worth[1])
        assert await gate.acquire(5) == 2
        waiting = asyncio.create_task(gate.acquire(3))
        await asyncio.sleep(0)
        worth[:] = [6, None]
        gate.release(0)
        assert await waiting == 3
        assert gate.in_flight == 5

    on_a_loop(test)


def test_calls_enter_first_come_first_served() -> None:
    async def test() -> None:
        gate, order = Gate(1), []

        async def call(name: int) -> None:
            async with gate:
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*(call(name) for name in range(10)))
        assert order == list(range(10))

    on_a_loop(test)


def test_a_cancelled_wait_loses_no_place() -> None:
    async def test() -> None:
        gate, leave = Gate(1), asyncio.Event()
        first = asyncio.create_task(enter(gate, leave))
        await soon(lambda: gate.in_flight == 1)
        waiting = [asyncio.create_task(enter(gate, leave)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.resize(2)  # the place goes to the second waiter, which is cancelled before it wakes
        waiting[1].cancel()
        await soon(lambda: waiting[0].done() and waiting[1].done())
        await soon(lambda: gate.in_flight == 2)
        leave.set()
        await asyncio.gather(first, waiting[2])
        assert gate.in_flight == 0
        assert waiting[1].cancelled()

    on_a_loop(test)


def test_a_slice_takes_what_is_free_and_waits_only_when_nothing_is() -> None:
    async def test() -> None:
        gate = Gate(5)
        assert await gate.acquire(3) == 3
        assert await gate.acquire(8) == 2
        late = asyncio.create_task(gate.acquire(4))
        await asyncio.sleep(0)
        assert not late.done()
        gate.release(2)
        assert await late == 2
        gate.release(5)
        assert gate.in_flight == 0

    on_a_loop(test)


def test_without_waiting_all_places_are_taken_or_none() -> None:
    gate = Gate(3)
    assert gate.enter(2)
    assert not gate.enter(2)
    assert gate.in_flight == 2
    gate.release(2)
    assert gate.enter(3)


def test_a_gate_at_zero_lets_nobody_in_until_it_is_opened() -> None:
    async def test() -> None:
        gate = Gate(0)
        waiting = asyncio.create_task(gate.acquire())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        gate.resize(1)
        assert await waiting == 1

    on_a_loop(test)


def test_a_negative_size_and_places_nobody_took_are_refused() -> None:
    with pytest.raises(ValueError, match="-1 calls"):
        Gate(-1)
    with pytest.raises(ValueError, match="0 are taken"):
        Gate(1).release()


def test_the_gate_holds_while_a_thread_resizes_it_all_the_time() -> None:
    async def test() -> None:
        gate, stop, running, most = Gate(3), threading.Event(), 0, 0

        def resize() -> None:
            while not stop.is_set():
                for size in (1, 4, 2):
                    gate.resize(size)

        async def call() -> None:
            nonlocal running, most
            async with gate:
                running += 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1

        resizer = threading.Thread(target=resize)
        resizer.start()
        try:
            for _ in range(40):
                await asyncio.gather(*(call() for _ in range(50)))
        finally:
            stop.set()
            resizer.join()
        assert gate.in_flight == 0
        assert 1 <= most <= 4

    on_a_loop(test)


class Ledger:
    bound: int | None = 8
    down = False
    asked = 0

    def __call__(self) -> int | None:
        self.asked += 1
        if self.down:
            raise ConnectionError
        return self.bound


def test_the_tiers_bound_is_asked_at_most_once_a_second_and_in_force_within_two() -> None:
    ledger, now = Ledger(), [0.0]
    tier = TierConcurrency(ledger, lambda: now[0])
    assert [tier.now() for _ in range(5)] == [8] * 5
    assert ledger.asked == 1
    ledger.bound = 3
    now[0] = 0.99
    assert tier.now() == 8
    now[0] = 1.0
    assert tier.now() == 3
    assert ledger.asked == 2
    ledger.bound = None
    now[0] = 2.0
    assert tier.now() is None


def test_the_bound_that_was_last_read_is_told_without_the_ledger_and_never_as_none_at_all() -> None:
    ledger, now = Ledger(), [0.0]
    tier = TierConcurrency(ledger, lambda: now[0])
    assert tier.last() is None, "nothing is known yet"
    for bound, told in ((8, 8), (0, 1), (None, None)):
        ledger.bound = bound
        now[0] += 1.0
        assert (tier.now(), tier.last()) == (bound, told)
    assert ledger.asked == 3


def test_without_an_answer_from_the_ledger_nothing_may_run() -> None:
    ledger, now = Ledger(), [0.0]
    tier = TierConcurrency(ledger, lambda: now[0])
    assert tier.now() == 8
    ledger.down = True
    now[0] = 1.0
    assert [tier.now() for _ in range(4)] == [0] * 4
    assert ledger.asked == 2
    ledger.down = False
    now[0] = 2.0
    assert tier.now() == 8


def test_places_are_kept_free_for_what_somebody_waits_for() -> None:
    async def test() -> None:
        gate = Gate(32)
        assert await gate.acquire(40) == 30
        assert await gate.acquire(2, urgent=True) == 2
        assert gate.in_flight == 32

    on_a_loop(test)


def test_a_small_gate_keeps_no_place_free() -> None:
    assert [bound_of(places, urgent=False) for places in (0, 1, 7, 8, 32, None)] == [
        *(0, 1, 7, 7, 30, None)
    ]
    assert bound_of(32, urgent=True) == 32


def test_whoever_is_urgent_comes_first_but_for_one_place_in_four() -> None:
    async def test() -> None:
        gate, came = Gate(4), ""
        assert await gate.acquire(4) == 4

        async def enter(name: str, *, urgent: bool) -> None:
            nonlocal came
            await gate.acquire(urgent=urgent)
            came += name

        calls = [asyncio.create_task(enter("b", urgent=False)) for _ in range(3)]
        calls += [asyncio.create_task(enter("a", urgent=True)) for _ in range(6)]
        await asyncio.sleep(0)
        for count in range(1, 10):
            gate.release()
            await soon(lambda count=count: len(came) == count)  # type: ignore[misc]
        await asyncio.gather(*calls)
        assert came == "aaabaaabb"

    on_a_loop(test)
