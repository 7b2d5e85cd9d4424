"""The first call of a prefix goes alone; the others wait for it, and for nothing else."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tierqueue.workers.prefixes import CACHED_SECONDS, Prefixes


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Calls:
    """Calls that end when a test says so; ``begun`` are those under way, in their order."""

    def __init__(self, prefixes: Prefixes) -> None:
        self._prefixes = prefixes
        self._ends: dict[str, asyncio.Event] = {}
        self._answered: dict[str, bool] = {}
        self.begun: list[str] = []
        self.second = asyncio.Event()

    async def one(self, name: str, key: str | None, most: float = 60.0) -> None:
        self._ends[name] = asyncio.Event()
        async with self._prefixes.in_turn(key, most) as answered:
            self.begun.append(name)
            if len(self.begun) == 2:
                self.second.set()
            await self._ends[name].wait()
            if self._answered[name]:
                answered()

    def end(self, name: str, *, answered: bool = True) -> None:
        self._answered[name] = answered
        self._ends[name].set()


def run(scene: Callable[[Calls, Clock, asyncio.TaskGroup], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        clock = Clock()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            await scene(Calls(Prefixes(clock)), clock, group)

    asyncio.run(all_of_it())


def test_the_others_wait_until_the_first_has_ended_and_then_go_together() -> None:
    async def scene(calls: Calls, _: Clock, group: asyncio.TaskGroup) -> None:
        for name in ("a", "b", "c"):
            group.create_task(calls.one(name, "prefix"))
        await settle()
        assert calls.begun == ["a"]
        calls.end("a")
        await settle()
        assert calls.begun == ["a", "b", "c"]
        calls.end("b")
        calls.end("c")

    run(scene)


def test_who_shares_no_prefix_or_another_one_waits_for_nobody() -> None:
    async def scene(calls: Calls, _: Clock, group: asyncio.TaskGroup) -> None:
        for name, key in (("a", "one"), ("b", "two"), ("c", None), ("d", None)):
            group.create_task(calls.one(name, key))
        await settle()
        assert calls.begun == ["a", "b", "c", "d"]
        for name in calls.begun:
            calls.end(name)

    run(scene)


@pytest.mark.parametrize("later", [0.0, CACHED_SECONDS - 1, CACHED_SECONDS + 1])
def test_what_is_cached_is_waited_for_only_once_it_may_be_forgotten(later: float) -> None:
    async def scene(calls: Calls, clock: Clock, group: asyncio.TaskGroup) -> None:
        group.create_task(calls.one("a", "prefix"))
        await settle()
        calls.end("a")
        await settle()
        clock.now += later
        for name in ("b", "c"):
            group.create_task(calls.one(name, "prefix"))
        await settle()
        assert calls.begun == (["a", "b"] if later > CACHED_SECONDS else ["a", "b", "c"])
        calls.end("b")
        await settle()
        calls.end("c")

    run(scene)


def test_where_the_first_brings_no_answer_the_others_go_and_nothing_counts_as_cached() -> None:
    async def scene(calls: Calls, _: Clock, group: asyncio.TaskGroup) -> None:
        for name in ("a", "b"):
            group.create_task(calls.one(name, "prefix"))
        await settle()
        calls.end("a", answered=False)
        await settle()
        assert calls.begun == ["a", "b"]
        calls.end("b", answered=False)
        await settle()
        for name in ("c", "d"):
            group.create_task(calls.one(name, "prefix"))
        await settle()
        assert calls.begun == ["a", "b", "c"]
        calls.end("c")
        await settle()
        calls.end("d")

    run(scene)


def test_a_first_that_is_cut_off_lets_the_others_go() -> None:
    async def scene(calls: Calls, _: Clock, group: asyncio.TaskGroup) -> None:
        first = asyncio.ensure_future(calls.one("a", "prefix"))
        await settle()
        group.create_task(calls.one("b", "prefix"))
        await settle()
        first.cancel()
        await settle()
        assert calls.begun == ["a", "b"]
        calls.end("b")

    run(scene)


def test_nobody_waits_longer_than_it_may() -> None:
    async def scene(calls: Calls, _: Clock, group: asyncio.TaskGroup) -> None:
        group.create_task(calls.one("a", "prefix"))
        await settle()
        group.create_task(calls.one("b", "prefix", most=0.0))
        await calls.second.wait()
        assert calls.begun == ["a", "b"]
        calls.end("b")
        calls.end("a")

    run(scene)
