"""What vLLM alone can do: fail to start, die, and be left behind."""

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.tiny_model import make_tiny_model
from tests.waiting import until
from tests.workers.engines.engine_calls import BOUNDED, a_call
from tierqueue.router.errors import Misconfigured
from tierqueue.router.outcome import (
    ENGINE_TIME,
    Completed,
    Failed,
    Interrupted,
    Reply,
    Unavailable,
    Usage,
)
from tierqueue.workers.engines import engine_load
from tierqueue.workers.engines.vllm import VllmEngine, orphans

pytestmark = [
    pytest.mark.processes,
    pytest.mark.filterwarnings("ignore"),  # vLLM and torch warn of their own future
]
with_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed: `make engine` installs it",
)
SMALL = {"max_model_len": 1024, "kv_cache_memory_bytes": 64 << 20, "max_num_seqs": 16}


@with_vllm
def test_an_unknown_option_is_refused_with_the_nearest_known_one() -> None:
    engine = VllmEngine(deployment="tiny", model="anything", options={"max_model_length": 10})
    with pytest.raises(Misconfigured, match=r"'max_model_length'; did you mean 'max_model_len'\?"):
        asyncio.run(engine.start())


@with_vllm
def test_a_model_that_is_not_there_is_misconfigured(tmp_path: Path) -> None:
    engine = VllmEngine(deployment="tiny", model=str(tmp_path / "none"), options=SMALL)
    with pytest.raises(Misconfigured, match="vLLM did not start for deployment tiny"):
        asyncio.run(engine.start())
    assert not engine.healthy


def test_without_vllm_the_error_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.setitem(sys.modules, "vllm.engine.arg_utils", None)
    with pytest.raises(Misconfigured, match="make engine"):
        asyncio.run(VllmEngine(deployment="tiny", model="anything").start())


async def _batched(engine: VllmEngine, model: str) -> None:
    """Calls share the engine's steps, and a cancelled one leaves it."""
    assert engine.load.figures().steps, "what compiles at a first call has been compiled"
    assert engine.load.figures().running == 0
    assert engine.load.depth == 24, "half as much again as max_num_seqs"
    first = await engine.complete(a_call(model, output_limit=4))
    assert isinstance(first, Completed)
    cut = await engine.complete(a_call(model, output_limit=900, engine_seconds=0.01))
    assert isinstance(cut, Interrupted)
    assert cut.kind == ENGINE_TIME
    assert cut.usage.engine_seconds >= 0.01, "what it took is booked"

    async def runs(wanted: int) -> None:
        await asyncio.to_thread(until, lambda: engine.load.figures().running == wanted)

    calls = [
        asyncio.ensure_future(engine.complete(a_call(model, item=f"i-{n}", output_limit=700)))
        for n in range(20)
    ]
    await runs(16)
    assert engine.load.figures().waiting > 0, "the others stand at its door"
    # The first stays, and its steps tell what became of the rest.
    for call in calls[1:]:
        call.cancel()
    await runs(1)
    calls[0].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert engine.load.figures().running == 0


@with_vllm
@pytest.mark.usefixtures("forked_cores")
def test_calls_are_batched_bad_ones_fail_for_good_and_a_dead_core_ends_the_engine(
    tmp_path: Path,
) -> None:
    model = str(make_tiny_model(tmp_path, chat=False))
    engine = VllmEngine(deployment="tiny", model=model, options=SMALL)
    seeing = VllmEngine(deployment="blind", model=model, options=SMALL, vision=True)

    async def lived() -> tuple[dict[str, Reply], list[Reply], str]:
        await engine.start()
        with pytest.raises(Misconfigured, match="blind states vision = true, and vLLM has no imag"):
            seeing._suits(engine._llm)
        await _batched(engine, model)
        asked = {
            "plain": a_call(model, output_limit=4),
            "structured": a_call(model, schema=BOUNDED),
            "too long": a_call(model, "secret word " * 500),
            "bad schema": a_call(model, schema={"type": "no such type"}),
            "other model": a_call("another/model"),
        }
        replies = {name: await engine.complete(call) for name, call in asked.items()}
        uncompiled = {"type": "of which the core alone can make nothing"}
        assert engine._sampling is not None
        # Taken for checked, as what passes the check and cannot be compiled is.
        engine._sampling._shared(json.dumps(uncompiled))._backend = "xgrammar"
        replies["in the core"] = await engine.complete(a_call(model, schema=uncompiled))
        replies["after it"] = await engine.complete(asked["structured"])
        failure = asyncio.ensure_future(engine.failed())
        running = [
            asyncio.ensure_future(engine.complete(a_call(model, item=f"i-{n}", output_limit=900)))
            for n in range(3)
        ]
        await asyncio.wait(running, timeout=0.2)
        (core,) = engine._llm.engine_core.resources.engine_manager.processes
        os.kill(core.pid, signal.SIGKILL)
        lost = list(await asyncio.wait_for(asyncio.gather(*running), 120))
        why = await asyncio.wait_for(failure, 120)
        assert not engine.healthy
        lost.append(await engine.complete(asked["plain"]))
        await engine.close()
        await engine.close()
        lost.append(await engine.complete(asked["plain"]))
        return replies, lost, why

    replies, lost, why = asyncio.run(lived())
    # Without a chat template the parts are sent one after the other, a byte a token.
    assert isinstance(plain := replies["plain"], Completed)
    call = a_call(model)
    assert plain.usage.total_input == len((call.system + call.prefix + call.question).encode())
    assert isinstance(replies["structured"], Completed)
    assert isinstance(replies["after it"], Completed)
    assert isinstance(in_the_core := replies["in the core"], Failed)
    assert (in_the_core.kind, in_the_core.reason, in_the_core.transient) == (
        *("grammar", "grammar"),
        False,
    )
    assert isinstance(too_long := replies["too long"], Completed)
    assert (too_long.finish, too_long.text) == ("too_long", "")
    for name, kind in (("bad schema", "grammar"), ("other model", "bad_request")):
        refused = replies[name]
        assert isinstance(refused, Failed), name
        assert refused.kind == kind
        assert not refused.transient
        assert "secret" not in refused.message
    assert isinstance(formless := replies["bad schema"], Failed)
    assert (formless.reason, formless.usage) == ("grammar", Usage()), "no time of the engine"
    assert all(isinstance(reply, Unavailable) for reply in lost)
    # Three were under way; one came after its death, one after it was closed.
    assert [reply.kind for reply in lost if isinstance(reply, Unavailable)] == (
        ["engine_died"] * 3 + ["engine_dead"] * 2
    )
    assert why.startswith("the vLLM engine core of tiny died of signal 9")
    assert "kv_cache_memory_bytes" in why, "what to change where memory ran out"


@with_vllm
@pytest.mark.usefixtures("forked_cores")
def test_a_core_that_hangs_ends_the_engine_and_charges_no_call(
    tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_load, "HUNG_SECONDS", 3.0)
    model = tiny_model
    engine = VllmEngine(deployment="tiny", model=model, options=SMALL)

    async def hung() -> tuple[str, Reply, Reply]:
        await engine.start()
        failure = asyncio.ensure_future(engine.failed())
        (core,) = engine._llm.engine_core.resources.engine_manager.processes
        os.kill(core.pid, signal.SIGSTOP)
        waits = asyncio.ensure_future(engine.complete(a_call(model, item="i-0", timeout=6)))
        why = await asyncio.wait_for(failure, 60)
        late = await engine.complete(a_call(model, item="i-1"))
        replies = why, await waits, late
        await engine.close()
        core.join(10)
        assert not core.is_alive()
        return replies

    why, *replies = asyncio.run(hung())
    assert (
        why == "the vLLM engine core of tiny hangs: it took no step for 3 s with calls to work on"
    )
    assert [r.kind for r in replies if isinstance(r, Unavailable)] == ["engine_died", "engine_dead"]


_CORE = "import time; print('there', flush=True); time.sleep(600)"
"""A core that notices nothing by itself, as vLLM's."""


@pytest.mark.processes
def test_a_killed_worker_takes_its_engine_core_along() -> None:
    worker = textwrap.dedent(
        f"""
        import subprocess, sys
        from tierqueue.workers.engines.vllm import orphans
        watcher = orphans.start_watcher()
        core = subprocess.Popen([sys.executable, "-c", {_CORE!r}], stdout=subprocess.PIPE)
        core.stdout.readline()
        orphans.set_processes(watcher, [core.pid])
        print(core.pid, flush=True)
        sys.stdin.read()
        """
    )
    _killed_with_its_core(worker)


@pytest.mark.processes
def test_a_worker_that_is_killed_while_its_engine_loads_takes_that_along() -> None:
    worker = textwrap.dedent(
        f"""
        import subprocess, sys
        from tierqueue.workers.engines.vllm import orphans
        watcher = orphans.start_watcher()
        started = "from multiprocessing.spawn import spawn_main\\n" + {_CORE!r}
        core = subprocess.Popen([sys.executable, "-c", started], stdout=subprocess.PIPE)
        core.stdout.readline()
        print(core.pid, watcher.pid, flush=True)
        sys.stdin.read()
        """
    )
    _killed_with_its_core(worker)


def _killed_with_its_core(worker: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        core, *watchers = (psutil.Process(int(pid)) for pid in process.stdout.readline().split())
        for watcher in watchers:
            # It sleeps once a look: some of those were after the core was there.
            slept = watcher.num_ctx_switches().voluntary
            until(partial(_has_slept, watcher, slept + 5))
        process.kill()
        until(lambda: _ended(core))


def _has_slept(process: psutil.Process, times: int) -> bool:
    return bool(process.num_ctx_switches().voluntary > times)


def _ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.processes
def test_an_engine_that_does_not_start_takes_no_other_s_core_along() -> None:
    started = "from multiprocessing.spawn import spawn_main\n" + _CORE
    command = [sys.executable, "-c", started]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        watcher = orphans.start_watcher()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as core:
            assert core.stdout is not None
            core.stdout.readline()
            slept = psutil.Process(watcher.pid).num_ctx_switches().voluntary
            until(partial(_has_slept, psutil.Process(watcher.pid), slept + 5))
            orphans.end(watcher)
            until(lambda: core.poll() is not None)
        assert other.poll() is None
        other.kill()


@pytest.mark.processes
def test_an_unwatched_process_lives_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        watcher = orphans.start_watcher()
        orphans.set_processes(watcher, [process.pid])
        orphans.end_watcher(watcher)
        orphans.end_watcher(watcher)
        assert process.poll() is None
        process.kill()
