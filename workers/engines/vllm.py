"""vLLM inside the worker process: prompts go to the engine core without a server between."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import structlog

from tierqueue.router.errors import Misconfigured
from tierqueue.router.outcome import (
    ENGINE_TIME,
    Completed,
    Failed,
    Interrupted,
    Reply,
    Token,
    Unavailable,
    Usage,
)
from tierqueue.workers.engines import (
    engine_load,
    orphans,
    vllm_request,
    vllm_start,
    vllm_tokens,
)
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.engine_load import EngineLoad, Stall
from tierqueue.workers.engines.engine_time import Clock, EngineTime, OutOfEngineTime
from tierqueue.workers.engines.http import refusals

log = structlog.get_logger(__name__)

SETTINGS = {
    "HF_HUB_OFFLINE": "1",  # a worker serves what is on its disk, and downloads nothing
    "OMP_NUM_THREADS": "1",  # the largest single factor on a CPU: 41 -> 175 requests/s
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one child process instead of two
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",  # its telemetry would leave the house's boundary
}
"""Environment set before vLLM is imported, where the environment does not say otherwise."""

FINISH = {"stop": "stop", "length": "length"}


class VllmEngine:
    """One model on this machine. ``options`` are arguments of vLLM's ``AsyncEngineArgs``.

    Answers are greedy, so that the same call gives the same text. ``clock`` returns seconds.
    """

    def __init__(
        self,
        *,
        deployment: str,
        model: str,
        options: Mapping[str, Any] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._deployment = deployment
        self._model = model
        self._options = dict(options or {})
        self._clock = clock
        self._time = EngineTime(clock)
        self.load = EngineLoad()
        self._stall = Stall(self.load, clock)
        self._hung = False
        self._llm: Any = None
        self._sampling: vllm_request.Sampling | None = None
        self._cores: list[BaseProcess] = []
        self._watcher: subprocess.Popen[bytes] | None = None
        self._closing = False

    @property
    def healthy(self) -> bool:
        """Whether calls can be made; never true again once the engine core is dead or hangs."""
        return not (self._llm is None or self._closing or self._hung or self._llm.errored)

    async def start(self) -> None:
        """Load the model and start the engine core, a child process: 8 to 15 s and more.

        Holds the loop meanwhile, as nothing can be served before. Raises ``Misconfigured`` when
        vLLM is missing, an option is unknown or the core does not come up: end the process then.
        """
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise Misconfigured(
                f"deployment {self._deployment} needs vLLM, which cannot be imported "
                f"({error}): run `make engine`"
            ) from error
        known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
        if (wrong := vllm_start.unknown(self._options, known)) is not None:
            raise Misconfigured(f"deployment {self._deployment}: {wrong}")
        self._sampling = vllm_request.sampling()
        logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"].upper())
        self._watcher = orphans.watch()
        try:
            told = engine_load.listener(self.load)
            asked = AsyncEngineArgs(**self.arguments())
            self._llm = AsyncLLM.from_engine_args(asked, stat_loggers=[told])
            engine_load.alone(self._llm, told)
            self._cores = list(self._llm.engine_core.resources.engine_manager.processes)
            orphans.settle(self._watcher, (core.pid for core in self._cores if core.pid))
        except Exception as error:
            orphans.end(self._watcher)
            raise Misconfigured(
                f"vLLM did not start for deployment {self._deployment}, model {self._model}: "
                + vllm_start.why(self._model, self._options, error)
            ) from error

    def arguments(self) -> dict[str, Any]:
        """What vLLM is started with."""
        from vllm.platforms import current_platform

        return {
            "enforce_eager": current_platform.is_cpu(),
            "disable_log_stats": True,
            # Compact JSON: a model that may write whitespace pays for it, or never stops.
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
            **self._options,
            "model": self._model,
            "enable_log_requests": False,
        }

    async def complete(self, call: Call) -> Reply:
        """One call; see ``Engine.complete``. Nothing here is billed by a vendor, so no reply is
        ``Unknown``: a lost one is ``Failed`` and carries the engine time it took.
        """
        began, mark = self._clock(), self._time.enter()
        self._stall.begun()
        self.load.begun()
        reply: Completed | Failed | Unavailable | Interrupted
        timed_out = False
        try:
            async with (
                asyncio.timeout(call.timeout),
                self._time.within(mark, call.engine_seconds),
            ):
                reply = await self._generate(call)
        except asyncio.CancelledError:
            self._time.cut(call.item, call.fence, mark)
            raise
        except Exception as error:  # noqa: BLE001 - every end of a call is an outcome
            timed_out = isinstance(error, TimeoutError)
            reply = self._without_answer(call, error)
        finally:
            engine_seconds = self._time.leave(mark)
            if self._time.idle:
                self.load.idle()
            if not timed_out:
                self._stall.ended(idle=self._time.idle)
        usage = dataclasses.replace(reply.usage, engine_seconds=engine_seconds)
        if isinstance(reply, Completed):
            return dataclasses.replace(reply, usage=usage, seconds=self._clock() - began)
        return dataclasses.replace(reply, usage=usage)

    def spent(self, call: Call) -> Usage:
        """What a call that was cancelled has taken of the engine; asked once."""
        return Usage(engine_seconds=self._time.was_cut(call.item, call.fence))

    async def failed(self) -> str:
        """Return why the engine can serve no more, once that is so: end the process then."""
        if self._llm is not None and self._llm.output_handler is not None:
            living = {self._llm.output_handler}
            while living and not self._hung:
                _, living = await asyncio.wait(living, timeout=engine_load.HUNG / 10)
                self._hung = self._stall.seconds >= engine_load.HUNG
        if self._hung and not self._closing:
            stall = f"took no step for {engine_load.HUNG:g} s with calls to work on"
            return f"the vLLM engine core of {self._deployment} hangs: it {stall}"
        if self._closing:
            return f"the engine of {self._deployment} was closed"
        how = await asyncio.to_thread(_how_it_ended, self._cores)
        return f"the vLLM engine core of {self._deployment} died{how}"

    async def close(self) -> None:
        """Stop the engine core; safe to call twice."""
        llm, self._closing = self._llm, True
        if llm is not None:
            self._llm = None
            await asyncio.to_thread(llm.shutdown)  # about 5 s
            _end_messaging(llm.engine_core.resources)
            if self._watcher is not None:
                orphans.unwatch(self._watcher)
            with contextlib.suppress(asyncio.CancelledError, Exception):
                if llm.output_handler is not None:
                    await asyncio.wait([llm.output_handler], timeout=5)

    async def _generate(self, call: Call) -> Completed | Failed | Unavailable:
        # A call that comes after the core's death had no part in it.
        if not self.healthy or self._sampling is None:
            message = f"{self._deployment}: the engine is not running"
            return Unavailable(kind="engine_dead", message=message)
        if call.model != self._model:
            return self._failure("bad_request", f"serves {self._model} alone", transient=False)
        stream = self._llm.generate(
            await self._rendered(call),
            self._sampling(call),
            request_id=f"{call.item}.{call.fence}",
        )
        last = None
        # Closing the stream aborts the request in the engine core.
        async with contextlib.aclosing(stream):
            async for output in stream:
                last = output
        answer = last.outputs[0] if last is not None else None
        finish = FINISH.get(str(answer.finish_reason)) if answer is not None else None
        if last is None or answer is None or finish is None:
            return self._failure("engine_error", "the request ended unfinished", transient=True)
        cached = last.num_cached_tokens or 0
        self.load.answered(len(answer.token_ids))
        text = answer.text
        tokens: tuple[Token, ...] = ()
        if answer.logprobs is not None:
            text, tokens = vllm_tokens.read(
                self._llm.get_tokenizer(), answer.token_ids, answer.logprobs
            )
        return Completed(
            text=text,
            tokens=tokens,
            usage=Usage(
                input_tokens=len(last.prompt_token_ids) - cached,
                cache_read_tokens=cached,
                output_tokens=len(answer.token_ids),
            ),
            model_served=self._model,
            finish=finish,
        )

    async def _rendered(self, call: Call) -> Any:
        """The prompt as tokens; the tokenizer works on a thread of vLLM's."""
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        tokenizer = self._llm.get_tokenizer()
        prompt = vllm_request.prompt_text(tokenizer, call)
        renderer = self._llm.renderer
        # A chat template writes the special tokens itself.
        how = renderer.default_cmpl_tok_params.with_kwargs(
            add_special_tokens=not vllm_request.templated(tokenizer)
        )
        parsed = parse_model_prompt(self._llm.model_config, {"prompt": prompt})
        (rendered,) = await renderer.render_cmpl_async([parsed], how)
        return rendered

    def _without_answer(
        self, call: Call, error: Exception
    ) -> Completed | Failed | Unavailable | Interrupted:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        # The types alone: vLLM's validation errors quote the values they refuse.
        named = type(error).__name__
        match error:
            case TimeoutError() if self._hung:
                message = f"{self._deployment}: the engine core hangs"
                return Unavailable(kind="engine_died", message=message)
            case OutOfEngineTime():
                return Interrupted(kind=ENGINE_TIME)
            case TimeoutError():
                return self._failure("timeout", f"no answer in {call.timeout} s", transient=True)
            case EngineDeadError():
                log.error("engine_died", deployment=self._deployment)
                message = f"{self._deployment}: the engine core died"
                return Unavailable(kind="engine_died", message=message)
            case VLLMClientError() | ValueError() if refusals.says_too_long(str(error), call):
                return Completed(
                    text="", usage=Usage(), model_served=self._model, finish="too_long"
                )
            case VLLMClientError() | ValueError():
                return self._failure("bad_request", f"vLLM refuses it: {named}", transient=False)
            case EngineGenerateError():
                named = f"{named} from {type(error.__cause__).__name__}"
        log.error(
            "engine_error_unexpected", deployment=self._deployment, item=call.item, error=named
        )
        return self._failure("engine_error", named, transient=True)

    def _failure(self, kind: str, said: str, *, transient: bool) -> Failed:
        return Failed(kind=kind, message=f"{self._deployment}: {said}", transient=transient)


def _how_it_ended(cores: Sequence[BaseProcess]) -> str:
    """What the end of a dead core says of its cause, and what to do where memory ran out."""
    for core in cores:
        core.join(5)
        if core.exitcode == -signal.SIGKILL:
            return (
                " of signal 9, by which a system ends what takes its last memory: give it less "
                "(kv_cache_memory_bytes, gpu_memory_utilization, max_num_seqs, max_model_len)"
            )
        if core.exitcode:
            return f" (exit {core.exitcode}): its own error stands above in the worker's output"
    return ""


def _end_messaging(resources: Any) -> None:
    """Terminate the ZeroMQ context, which vLLM leaves to the garbage collector.

    Only with its sockets closed: terminating waits for them for ever.
    """
    sockets = (resources.input_socket, resources.output_socket)
    if all(socket is None or socket.closed for socket in sockets):
        resources.ctx.term()
