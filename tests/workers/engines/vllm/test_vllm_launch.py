"""The call that an engine makes of itself before its worker serves."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tierqueue.router.errors import Misconfigured
from tierqueue.workers.engines.vllm import VllmEngine, launch

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # vLLM and torch warn of their own future
    pytest.mark.engine,
]


class _Fails:
    """Stands for vLLM's own engine and for who launched it: whatever it is asked fails."""

    def __init__(self, *, errored: bool) -> None:
        self.llm = self
        self.errored = errored
        self.closed = 0

    def get_tokenizer(self) -> Any:
        raise RuntimeError("no tokenizer")

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[[_Fails], VllmEngine]:
    def start(fails: _Fails) -> VllmEngine:
        monkeypatch.setattr(launch, "launch", lambda *_: fails)
        monkeypatch.setattr(launch, "on_cpu", lambda: True)
        engine = VllmEngine(deployment="tiny", model="tiny")
        asyncio.run(engine.start())
        return engine

    return start


def test_an_engine_whose_first_call_fails_serves_and_its_calls_say_what_is_wrong(
    started: Callable[[_Fails], VllmEngine],
) -> None:
    fails = _Fails(errored=False)
    assert started(fails).healthy
    assert not fails.closed


def test_a_core_that_dies_of_the_first_call_is_no_start(
    started: Callable[[_Fails], VllmEngine],
) -> None:
    fails = _Fails(errored=True)
    with pytest.raises(Misconfigured, match="did not answer its first call"):
        started(fails)
    assert fails.closed == 1
