"""The engine behind the benches' deployments notes when it was called, where it is told to."""

import asyncio
from pathlib import Path

import pytest

from bench.null_engine import NullEngine
from bench.stage import noted_engine
from bench.stage.noted_engine import NotedEngine
from tests.tasks.answers.test_form import deployment
from tests.workers.engines.engine_calls import a_call


def test_each_call_leaves_its_item_and_its_time(tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    async def called() -> None:
        engine = NotedEngine(str(calls))
        await engine.start()
        for item in ("a", "b"):
            await engine.complete(a_call("null", item=item))
        await engine.close()

    asyncio.run(called())
    (a, first), (b, second) = (line.split() for line in calls.read_text().splitlines())
    assert (a, b) == ("a", "b")
    assert float(first) <= float(second)


@pytest.mark.parametrize(("calls", "kind"), [("", NullEngine), ("calls", NotedEngine)])
def test_calls_are_noted_where_a_file_is_named(
    monkeypatch: pytest.MonkeyPatch, calls: str, kind: type[NullEngine]
) -> None:
    monkeypatch.setenv(noted_engine.CALLS, calls)
    assert type(noted_engine.build(deployment())) is kind
