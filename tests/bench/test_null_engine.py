"""The null engine ends calls as a real engine of the house does; see the suite of all engines."""

import asyncio

from bench.null_engine import NullEngine
from tests.workers.engines.engine_calls import a_call
from tierqueue.router.outcome import ENGINE_TIME, Interrupted, Reply


def test_a_call_ends_once_it_has_had_the_engines_time_that_is_held_for_it() -> None:
    async def call() -> Reply:
        engine = NullEngine(seconds=2.0)
        await engine.start()
        return await engine.complete(a_call("house", engine_seconds=0.05))

    reply = asyncio.run(call())
    assert isinstance(reply, Interrupted)
    assert reply.kind == ENGINE_TIME
    assert reply.usage.engine_seconds >= 0.05
