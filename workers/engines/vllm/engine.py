"""vLLM inside the worker process: prompts go to the engine core without a server between."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import structlog

from tierqueue.router.errors import Misconfigured
from tierqueue.router.outcome import (
    Completed,
    Failed,
    Interrupted,
    Reply,
    Token,
    Unavailable,
    Usage,
)
from tierqueue.workers.engines import engine_load
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.engine_load import EngineLoad, Stall
from tierqueue.workers.engines.engine_time import Clock, EngineTime
from tierqueue.workers.engines.vllm import endings, images, launch, request, tokens
from tierqueue.workers.engines.vllm.adapters import Adapters, AdapterTurns, placed
from tierqueue.workers.engines.vllm.grammar import Grammar

_log = structlog.get_logger(__name__)

FINISH = {"stop": "stop", "length": "length"}

FIRST_SECONDS = 600.0
"""Seconds in which the first call is to be answered: as long as vLLM waits for its core."""

SHORT = 2048
"""Characters of a prompt that is made tokens of at once: a thread takes longer to be asked."""


class VllmEngine:
    """One model on this machine. ``options`` are arguments of vLLM's ``AsyncEngineArgs``.

    ``adapters``: a LoRA adapter by task type. ``context_window``: the tokens that the policy says
    it holds; ``None``: it says nothing. ``vision``: the policy says that it sees images.
    ``folder``: from where model and adapters are looked for first, where they are named by a
    relative path. Answers are greedy, so that the same call gives the same text. ``clock`` returns
    seconds.
    """

    def __init__(
        self,
        *,
        deployment: str,
        model: str,
        options: Mapping[str, Any] | None = None,
        adapters: Mapping[str, str] | None = None,
        context_window: int | None = None,
        vision: bool = False,
        folder: str = "",
        clock: Clock = time.monotonic,
    ) -> None:
        self._deployment = deployment
        self._model = model
        self._options = dict(options or {})
        self._place = placed(model, folder)
        self._adapters = Adapters(deployment, adapters or {}, folder)
        self._context_window = context_window
        self._vision = vision
        self._turns: AdapterTurns | None = None
        self._clock = clock
        self._time = EngineTime(clock)
        self.load = EngineLoad()
        self._stall = Stall(self.load, clock)
        self._hung = False
        self._launched: launch.RunningEngine | None = None
        self._llm: Any = None
        self._sampling: request.Sampling | None = None
        self._grammar: Grammar | None = None
        self._closing = False

    @property
    def healthy(self) -> bool:
        """Whether calls can be made; never true again once the engine core is dead or hangs."""
        return not (self._llm is None or self._closing or self._hung or self._llm.errored)

    async def start(self) -> None:
        """Load the model and start the engine core, a child process: 8 to 15 s and more.

        Holds the loop meanwhile, as nothing can be served before. Raises ``Misconfigured`` when
        vLLM is missing, an option is unknown, an adapter is not there, the core does not come up or
        cannot do what the policy states: end the process then. No core is left.
        """
        launched = launch.launch(
            self._deployment,
            self._place,
            self._options,
            self._adapters.options,
            self.load,
            self._suits,
        )
        try:
            await self._adapters.load(launched.llm)
        except BaseException:
            await launched.close()
            raise
        self._launched = launched
        self._llm = self._launched.llm
        self._turns = AdapterTurns() if self._adapters and launch.on_cpu() else None
        self._sampling = request.Sampling()
        self._grammar = Grammar(self._llm, self._sampling)
        try:
            await self._first_call()
        except BaseException:
            await self.close()
            raise

    async def _first_call(self) -> None:
        """Make a call as any other, of which vLLM and torch compile what they had not before.

        That takes minutes on a busy machine: of an item's call it would look like an engine that
        hangs. What is wrong with it, the calls of items say.
        """
        call = Call(
            item="first",
            fence=0,
            model=self._model,
            system="",
            prefix="",
            question="Yes?",
            schema={"type": "boolean"},
            schema_name="first",
            output_limit=2,
            timeout=FIRST_SECONDS,
            alternatives=0,
        )
        wrong: Exception | None = None
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                await self._generate(call)
        except Exception as error:  # noqa: BLE001 - told apart below
            wrong = error
        if isinstance(wrong, TimeoutError) or not self.healthy:
            said = f"the engine of {self._deployment} did not answer its first call: see above why"
            raise Misconfigured(said, {"deployment": self._deployment}) from wrong
        if wrong is not None:
            _log.warning("first_call_failed", error=type(wrong).__name__)
        self.load.idle()

    def _suits(self, llm: Any) -> None:
        """Refuse an engine whose context window is smaller than the one the policy routes by, and
        one that sees no images where the policy says that it does.
        """
        stated, own = self._context_window, llm.model_config.max_model_len
        if stated is not None and stated > own:
            raise Misconfigured(
                f"deployment {self._deployment} states context_window = {stated}, and its engine"
                f" holds {own} tokens (max_model_len): state no more than that",
                {"deployment": self._deployment, "context_window": own},
            )
        if self._vision and (blind := images.unseeing(llm)) is not None:
            raise Misconfigured(
                f"deployment {self._deployment} states vision = true, and {blind}",
                {"deployment": self._deployment},
            )

    def arguments(self) -> dict[str, Any]:
        """What vLLM is started with."""
        return launch.arguments(self._place, self._options)

    async def complete(self, call: Call) -> Reply:
        """One call; see ``Engine.complete``. Nothing here is billed by a vendor, so no reply is
        ``Unknown``: a lost one is ``Failed`` and carries the engine time it took.
        """
        if self.healthy and call.schema is not None and self.not_held(call.schema) is not None:
            return endings.formless(self._deployment, ", as `tierqueue doctor` says")
        if self._turns is None:
            return await self._answered(call)
        async with self._turns.of(call.adapter):
            return await self._answered(call)

    async def _answered(self, call: Call) -> Reply:
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
            reply = endings.without_answer(self._deployment, call, error, hung=self._hung)
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

    def not_held(self, schema: Mapping[str, Any]) -> str | None:
        """Which part of an answer's schema no grammar can be made of; ``None``: it is held."""
        return None if self._grammar is None else self._grammar.not_held(schema)

    def spent(self, call: Call) -> Usage:
        """What a call that was cancelled has taken of the engine; asked once."""
        return Usage(engine_seconds=self._time.was_cut(call.item, call.fence))

    async def failed(self) -> str:
        """Return why the engine can serve no more, once that is so: end the process then."""
        if self._llm is not None and self._llm.output_handler is not None:
            living = {self._llm.output_handler}
            while living and not self._hung:
                _, living = await asyncio.wait(living, timeout=engine_load.HUNG_SECONDS / 10)
                self._hung = self._stall.seconds >= engine_load.HUNG_SECONDS
        if self._hung and not self._closing:
            stall = f"took no step for {engine_load.HUNG_SECONDS:g} s with calls to work on"
            return f"the vLLM engine core of {self._deployment} hangs: it {stall}"
        if self._closing:
            return f"the engine of {self._deployment} was closed"
        how = ""
        if self._launched is not None:
            how = await asyncio.to_thread(self._launched.how_it_ended)
        return f"the vLLM engine core of {self._deployment} died{how}"

    async def close(self) -> None:
        """Stop the engine core; safe to call twice."""
        self._closing, self._llm = True, None
        launched, self._launched = self._launched, None
        if launched is not None:
            await launched.close()

    async def _generate(self, call: Call) -> Completed | Failed | Unavailable:
        # A call that comes after the core's death had no part in it.
        if not self.healthy or self._sampling is None:
            message = f"{self._deployment}: the engine is not running"
            return Unavailable(kind="engine_dead", message=message)
        if call.model != self._model:
            return endings.failure(
                self._deployment, "bad_request", f"serves {self._model} alone", transient=False
            )
        stream = self._llm.generate(
            await self._rendered(call),
            self._sampling(call),
            request_id=f"{call.item}.{call.fence}",
            lora_request=self._adapters.request(call.adapter),
        )
        last = None
        # Closing the stream aborts the request in the engine core.
        async with contextlib.aclosing(stream):
            async for output in stream:
                last = output
        answer = last.outputs[0] if last is not None else None
        finish = FINISH.get(str(answer.finish_reason)) if answer is not None else None
        if last is None or answer is None or finish is None:
            return endings.unfinished(self._deployment, call, answer, self._llm)
        cached = last.num_cached_tokens or 0
        self.load.answered(len(answer.token_ids))
        text = answer.text
        with_probabilities: tuple[Token, ...] = ()
        if answer.logprobs is not None:
            text, with_probabilities = tokens.read(
                self._llm.get_tokenizer(),
                answer.token_ids,
                answer.logprobs,
                call.alternatives or 0,
            )
        return Completed(
            text=text,
            tokens=with_probabilities,
            usage=Usage(
                input_tokens=len(last.prompt_token_ids) - cached,
                cache_read_tokens=cached,
                output_tokens=len(answer.token_ids),
            ),
            model_served=self._model,
            finish=finish,
        )

    async def _rendered(self, call: Call) -> Any:
        """The prompt as tokens, with what its images are to the model; of a long one the tokenizer
        works on a thread of vLLM's, and the image processor always.
        """
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        if call.images:
            return await images.rendered(self._llm, call)
        tokenizer = self._llm.get_tokenizer()
        prompt = request.prompt_text(tokenizer, call)
        renderer = self._llm.renderer
        # A chat template writes the special tokens itself.
        how = renderer.default_cmpl_tok_params.with_kwargs(
            add_special_tokens=not request.templated(tokenizer)
        )
        parsed = parse_model_prompt(self._llm.model_config, {"prompt": prompt})
        if len(prompt) <= SHORT:
            (rendered,) = renderer.render_cmpl([parsed], how)
        else:
            (rendered,) = await renderer.render_cmpl_async([parsed], how)
        return rendered
