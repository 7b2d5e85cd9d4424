"""Calls of one kind are inside together, those of another after them."""

import asyncio

from tierqueue.workers.engines.vllm.turns import Turns


async def stays(turns: Turns, kind: str | None, end: asyncio.Event, inside: list[str]) -> None:
    async with turns.of(kind):
        inside.append(str(kind))
        await end.wait()
        inside.remove(str(kind))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_kinds_take_turns_in_the_order_in_which_they_asked() -> None:
    async def lived() -> None:
        turns, inside = Turns(), list[str]()
        ends = [asyncio.Event() for _ in range(3)]
        a, b, c = ends
        async with asyncio.TaskGroup() as group:
            for kind, end in (("a", a), ("a", a), ("b", b), ("b", b), (None, c), ("a", c)):
                group.create_task(stays(turns, kind, end, inside))
            await settled()
            assert inside == ["a", "a"], "the last of them waits: others had asked before it"
            a.set()
            await settled()
            assert inside == ["b", "b"]
            b.set()
            await settled()
            assert inside == ["None"]
            c.set()
        assert inside == []

    asyncio.run(lived())


def test_who_is_cancelled_while_waiting_or_inside_holds_up_nobody() -> None:
    async def lived() -> None:
        turns, inside = Turns(), list[str]()
        never, last = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(stays(turns, "a", never, inside))
        waits = asyncio.create_task(stays(turns, "b", never, inside))
        after = asyncio.create_task(stays(turns, "c", last, inside))
        await settled()
        waits.cancel()
        await settled()
        first.cancel()
        await settled()
        assert inside == ["a", "c"], "what was cancelled inside of this test never left its list"
        last.set()
        await after
        await asyncio.gather(first, waits, return_exceptions=True)

    asyncio.run(lived())


def test_who_is_cancelled_as_its_turn_comes_gives_it_on() -> None:
    async def lived() -> None:
        turns, inside = Turns(), list[str]()
        first, never = asyncio.Event(), asyncio.Event()
        one = asyncio.create_task(stays(turns, "a", first, inside))
        waits = asyncio.create_task(stays(turns, "b", never, inside))
        await settled()
        first.set()
        one.add_done_callback(lambda _: waits.cancel())
        await settled()
        async with asyncio.timeout(60), turns.of("c"):
            pass
        await asyncio.gather(one, waits, return_exceptions=True)

    asyncio.run(lived())
