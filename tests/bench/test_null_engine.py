"""The null engine ends calls as a real engine of the house does; see the suite of all engines."""

import asyncio
from typing import Any

from bench.null_engine import NullEngine, fitting
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


def test_each_schema_has_an_answer_that_fits_it() -> None:
    def answer(**fields: Any) -> str:
        return fitting(a_call("house", schema={"type": "object", "properties": fields}))

    labels = [f"label {number}" for number in range(50)]
    said = [answer(label={"type": "string", "enum": [label]}) for label in labels]
    assert said == [f'{{"label": "{label}"}}' for label in labels]
    assert answer(sure={"type": "boolean"}, many={"type": "integer"}) == '{"sure": true, "many": 1}'
