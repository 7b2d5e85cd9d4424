"""Adapters at work in vLLM, and an engine that holds less than the policy states."""

import asyncio
from pathlib import Path

import psutil
import pytest

from tests.tiny_model import make_adapter
from tests.workers.engines.conftest import StartedEngine
from tests.workers.engines.engine_calls import a_call
from tierqueue.router.errors import Misconfigured
from tierqueue.router.outcome import Completed
from tierqueue.workers.engines.vllm import VllmEngine

pytestmark = [
    pytest.mark.processes,
    pytest.mark.engine,
    pytest.mark.usefixtures("forked_cores"),
    pytest.mark.filterwarnings("ignore"),  # vLLM and torch warn of their own future
]
SMALL = {"max_model_len": 512, "kv_cache_memory_bytes": 64 << 20, "max_num_seqs": 16}


def _helpers() -> list[psutil.Process]:
    """What Python keeps for its own processes: it ends with this one."""
    return [
        child
        for child in psutil.Process().children()
        if "resource_tracker" in " ".join(child.cmdline())
    ]


def test_calls_of_several_adapters_at_once_are_answered_as_each_alone(
    vllm_engine: StartedEngine,
) -> None:
    engine, model = vllm_engine.engine, vllm_engine.model

    async def answer(by: str | None, at: int) -> str:
        call = a_call(model, f"Ticket {at}", item=f"{by}-{at}", adapter=by, output_limit=16)
        reply = await engine.complete(call)
        assert isinstance(reply, Completed), reply
        return reply.text

    async def answered() -> tuple[list[str], list[str]]:
        asked = [(by, at) for at in range(4) for by in (None, *vllm_engine.adapters)]
        alone = [await answer(by, at) for by, at in asked]
        mixed = list(await asyncio.gather(*(answer(by, at) for by, at in asked)))
        return alone, mixed

    alone, mixed = vllm_engine.loop.run(answered(), timeout=120)
    assert mixed == alone
    assert len(set(alone[:3])) == 3, "each adapter answers otherwise than the model alone"


def test_an_adapter_that_the_engine_cannot_read_leaves_no_core(
    tiny_model: str, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path / "adapter", seed=1)
    (adapter / "adapter_model.safetensors").unlink()
    engine = VllmEngine(
        deployment="tiny", model=tiny_model, options=SMALL, adapters={"team.one": str(adapter)}
    )
    before = psutil.Process().children()
    with pytest.raises(Misconfigured, match="deployment tiny, adapter "):
        asyncio.run(engine.start())
    assert not engine.healthy
    assert set(psutil.Process().children()) <= {*before, *_helpers()}, "ended, and waited for"


def test_a_context_window_larger_than_the_engine_s_is_refused_and_leaves_no_core(
    tiny_model: str,
) -> None:
    engine = VllmEngine(deployment="tiny", model=tiny_model, options=SMALL, context_window=513)
    before = psutil.Process().children()
    with pytest.raises(Misconfigured, match=r"context_window = 513, and its engine holds 512"):
        asyncio.run(engine.start())
    assert set(psutil.Process().children()) <= {*before, *_helpers()}, "ended, and waited for"
