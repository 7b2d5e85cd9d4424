"""From a deployment's options to an engine core that serves, and to its end.

A start that fails leaves no core behind, and one that is closed none either.
"""

import asyncio
import contextlib
import dataclasses
import logging
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from tierqueue.router.errors import Misconfigured
from tierqueue.workers.engines.engine_load import EngineLoad
from tierqueue.workers.engines.vllm import orphans, outputs, start_failures, steps

SETTINGS = {
    "HF_HUB_OFFLINE": "1",  # a worker serves what is on its disk, and downloads nothing
    "OMP_NUM_THREADS": "1",  # the largest single factor on a CPU: 41 -> 175 requests/s
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one child process instead of two
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",  # its telemetry would leave the house's boundary
}
"""Environment set before vLLM is imported, where the environment does not say otherwise."""

WHOLE_ANSWERS = "tierqueue.workers.engines.vllm.whole_answers.WholeAnswers"


@dataclasses.dataclass(frozen=True, slots=True)
class RunningEngine:
    """A running engine: vLLM's own, its core's processes, and who ends them after the worker."""

    llm: Any
    cores: Sequence[BaseProcess]
    watcher: subprocess.Popen[bytes]

    def how_it_ended(self) -> str:
        """What the end of a dead core says of its cause, and what to do where memory ran out."""
        for core in self.cores:
            core.join(5)
            if core.exitcode == -signal.SIGKILL:
                return (
                    " of signal 9, by which a system ends what takes its last memory: give it less "
                    "(kv_cache_memory_bytes, gpu_memory_utilization, max_num_seqs, max_model_len)"
                )
            if core.exitcode:
                return f" (exit {core.exitcode}): its own error stands above in the worker's output"
        return ""

    async def close(self) -> None:
        """End the core, which takes about 5 s, and wait for its end."""
        await asyncio.to_thread(self.llm.shutdown)
        for core in self.cores:
            core.kill()
            await asyncio.to_thread(core.join)
        _end_messaging(self.llm.engine_core.resources)
        orphans.end_watcher(self.watcher)
        with contextlib.suppress(asyncio.CancelledError, Exception):
            if self.llm.output_handler is not None:
                await asyncio.wait([self.llm.output_handler], timeout=5)


def launch(
    deployment: str,
    model: str,
    options: Mapping[str, Any],
    more: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    load: EngineLoad,
    suits: Callable[[Any], None],
) -> RunningEngine:
    """Load the model and start its engine core, whose steps ``load`` is told of.

    ``more`` gives the options that follow from the others, once vLLM is there. ``suits`` is given
    vLLM's own engine and raises ``Misconfigured`` where it cannot do what the policy states.
    Raises ``Misconfigured`` when vLLM is missing, an option is unknown or the core does not come
    up; whatever was raised, no core is left.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise Misconfigured(
            f"deployment {deployment} needs vLLM, which cannot be imported "
            f"({error}): run `make engine`"
        ) from error
    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    if (wrong := start_failures.unknown(options, known)) is not None:
        raise Misconfigured(f"deployment {deployment}: {wrong}")
    whole = {**more(options), **options}
    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"].upper())
    others = set(multiprocessing.active_children())
    watcher = orphans.start_watcher()
    llm: Any = None
    try:
        told = steps.listener(load)
        llm = AsyncLLM.from_engine_args(
            AsyncEngineArgs(**arguments(model, whole)), stat_loggers=[told]
        )
        steps.alone(llm, told)
        outputs.kept_as_they_come(llm)
        cores = list(llm.engine_core.resources.engine_manager.processes)
        suits(llm)
        orphans.set_processes(watcher, (core.pid for core in cores if core.pid))
    except Exception as error:
        _undo(llm, watcher, others)
        if isinstance(error, Misconfigured):
            raise
        raise Misconfigured(
            f"vLLM did not start for deployment {deployment}, model {model}: "
            + start_failures.why(model, options, error)
        ) from error
    return RunningEngine(llm, cores, watcher)


def on_cpu() -> bool:
    """Whether vLLM runs on this machine's CPU."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def arguments(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What vLLM is started with."""
    cpu = on_cpu()
    return {
        "enforce_eager": cpu,
        # Elsewhere vLLM schedules ahead, by a scheduler of another kind.
        **({"scheduler_cls": WHOLE_ANSWERS} if cpu else {}),
        "disable_log_stats": True,
        # Compact JSON: a model that may write whitespace pays for it, or never stops.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        **options,
        "model": model,
        "enable_log_requests": False,
    }


def _undo(llm: Any, watcher: subprocess.Popen[bytes], others: set[BaseProcess]) -> None:
    """End what a start that failed has started, and wait until it has ended.

    vLLM tells its core to end where it could not start it, and waits for it a few seconds.
    """
    if llm is not None:
        with contextlib.suppress(Exception):
            llm.shutdown()
            _end_messaging(llm.engine_core.resources)
    for process in set(multiprocessing.active_children()) - others:
        process.kill()
        process.join()
    orphans.end(watcher)


def _end_messaging(resources: Any) -> None:
    """Terminate the ZeroMQ context, which vLLM leaves to the garbage collector.

    Only with its sockets closed: terminating waits for them for ever.
    """
    sockets = (resources.input_socket, resources.output_socket)
    if all(socket is None or socket.closed for socket in sockets):
        resources.ctx.term()
