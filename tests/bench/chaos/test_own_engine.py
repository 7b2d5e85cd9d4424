"""The storm's own engine writes down what it was asked, outside the system."""

import asyncio
import json
from pathlib import Path
from typing import Any

from bench.chaos.hook import Hook
from bench.chaos.own_engine import OwnEngine
from tests.workers.engines.engine_calls import a_call
from tierqueue.router.outcome import Completed, Interrupted, Reply


def asked(folder: Path, seconds: float = 0.0, **stated: Any) -> tuple[Reply, list[dict[str, Any]]]:
    """What came of one call, and the lines it left."""
    log = folder / "calls.jsonl"
    engine = OwnEngine(log, seconds, Hook(folder, "worker"))

    async def call() -> Reply:
        await engine.start()
        return await engine.complete(a_call("house", **stated))

    reply = asyncio.run(call())
    return reply, [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_an_answer_names_the_item_and_the_fence_it_was_asked_under(tmp_path: Path) -> None:
    reply, (began, ended) = asked(tmp_path, item="i", fence=3)
    assert isinstance(reply, Completed)
    assert reply.text == "i/3"
    assert (began["item"], began["fence"]) == ("i", "3")
    assert ended == {**began, **ended}
    assert ended["output_tokens"] == reply.usage.output_tokens
    assert (ended["cost_nanousd"], ended["ended"] >= ended["started"]) == (0, True)


def test_a_call_that_had_its_share_of_the_engines_time_is_written_down_too(tmp_path: Path) -> None:
    reply, (began, ended) = asked(tmp_path, 2.0, engine_seconds=0.05)
    assert isinstance(reply, Interrupted)
    assert began.keys() < ended.keys()
    assert ended["cost_nanousd"] == 0
