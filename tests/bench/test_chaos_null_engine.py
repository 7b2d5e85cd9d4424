"""The house engine of the chaos bench ends calls as a real one does."""

import asyncio
import json
from pathlib import Path

from bench.chaos.hook import Hook
from bench.chaos.null_engine import NullEngine
from tests.workers.engines.engine_calls import a_call
from tierqueue.router.outcome import ENGINE_TIME, Interrupted


def test_a_call_ends_once_it_has_had_the_engines_time_that_is_held_for_it(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    engine = NullEngine("house", log, 2.0, Hook(tmp_path, "worker"))
    reply = asyncio.run(engine.complete(a_call("house", engine_seconds=0.05)))
    assert isinstance(reply, Interrupted)
    assert reply.kind == ENGINE_TIME
    assert reply.usage.engine_seconds >= 0.05
    *_, ended = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert (ended["cost_nanousd"], ended["ended"] >= ended["started"]) == (0, True)
