"""One engine of vLLM's for all tests that leave it as they found it: a start takes its time."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.tiny_model import make_adapter, make_tiny_model
from tests.workers.engines.forked_cores import fork_cores
from tierqueue.workers.engines.vllm import VllmEngine
from tierqueue.workers.process.event_loop import EventLoopThread


@dataclass
class StartedEngine:
    """An engine that serves, on a loop of its own."""

    engine: VllmEngine
    loop: EventLoopThread
    model: str
    adapters: list[str]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny model with a chat template, to be read."""
    return str(make_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="session")
def forked_cores() -> None:
    """Whoever starts an engine of its own starts no core from its imports on."""
    fork_cores()


@pytest.fixture(scope="session")
def vllm_engine(
    forked_cores: None, tiny_model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartedEngine]:
    """The tiny model with two adapters, served; it can be asked whatever ends by itself."""
    folder = tmp_path_factory.mktemp("adapters")
    adapters = [str(make_adapter(folder / f"adapter-{seed}", seed=seed)) for seed in (1, 2)]
    engine = VllmEngine(
        deployment="vllm",
        model=tiny_model,
        options={"max_model_len": 1024, "kv_cache_memory_bytes": 64 << 20, "max_num_seqs": 64},
        adapters={"team.one": adapters[0], "team.two": adapters[1]},
    )
    loop = EventLoopThread("test-vllm")
    loop.start()
    loop.run(engine.start(), timeout=400)
    yield StartedEngine(engine, loop, tiny_model, adapters)
    loop.run(engine.close(), timeout=60)
    assert loop.stop(timeout=60)
