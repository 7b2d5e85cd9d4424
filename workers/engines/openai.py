"""Chat completions as OpenAI speaks them, at any base URL."""

from collections.abc import Iterable, Mapping
from functools import partial
from hashlib import sha256
from typing import Any

import httpx2
import openai
import structlog
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONObject, ResponseFormatJSONSchema

from tierqueue.router.outcome import Usage
from tierqueue.router.policy.providers import (
    OPENAI_URL,
    BatchForm,
    LimitParameter,
    LogprobsParameter,
    PromptCache,
    StreamUsage,
)
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.file_batches import FileBatches
from tierqueue.workers.engines.http import bills, finishes, logprobs, refusals, streams, wire
from tierqueue.workers.engines.http.api import ApiAnswer, ApiEngine
from tierqueue.workers.engines.http.bills import count, table
from tierqueue.workers.engines.http.wire import Unreadable
from tierqueue.workers.engines.mistral_batches import MistralBatches
from tierqueue.workers.engines.openai_batches import AzureBatches, OpenAIBatches
from tierqueue.workers.engines.together_batches import TogetherBatches

log = structlog.get_logger(__name__)

CACHED_FROM_BYTES = 1_024
"""Below this size no prefix has the 1,024 tokens from which on OpenAI caches one."""

ALONE_FROM_BYTES = 4 * CACHED_FROM_BYTES
"""From this size on the first call of a prefix goes alone: about 1,024 tokens."""


_BATCHES: dict[BatchForm, type[FileBatches]] = {
    "openai": OpenAIBatches,
    "azure": AzureBatches,
    "mistral": MistralBatches,
    "together": TogetherBatches,
}


class OpenAIEngine(ApiEngine):
    """One deployment that speaks chat completions."""

    def __init__(
        self,
        *,
        deployment: str,
        base_url: str | None,
        key: str,
        simulated: bool,
        metered: bool,
        limit_parameter: LimitParameter = "max_tokens",
        logprobs_parameter: LogprobsParameter = "flag",
        prompt_cache: PromptCache = "none",
        stream_usage: StreamUsage = "option",
        connect_timeout: float = 10.0,
        batch_api: BatchForm = "openai",
        batch_model: str = "",
    ) -> None:
        super().__init__(
            deployment=deployment,
            simulated=simulated,
            metered=metered,
            connect_timeout=connect_timeout,
        )
        self._url = base_url or OPENAI_URL
        self._key = key
        self._limit_parameter = limit_parameter
        self._logprobs_parameter = logprobs_parameter
        self._keyed = prompt_cache == "key"
        self._stream_usage = stream_usage
        self._batches = partial(_BATCHES[batch_api], model=batch_model)
        self._client: openai.AsyncOpenAI | None = None

    async def start(self) -> None:
        """Open the client; calls nobody."""
        self._client = openai.AsyncOpenAI(
            base_url=self._url,
            api_key=self._key,
            max_retries=0,
            http_client=self._open("openai"),
        )

    @property
    def batches(self) -> FileBatches:
        """Its batch API; the engine must be started."""
        assert self._client is not None
        return self._batches(self._client)

    async def _send(self, call: Call) -> httpx2.Response:
        without = self._without
        while True:
            response = await self._ask(call, without)
            sent = self._extra(call) - without
            refused = {name for name in sent if refusals.names(name, response, call)}
            if not refused:
                break
            without |= refused
        if response.is_success and without != self._without:
            # Models that reason show none, for one; the next call is not refused for it once more.
            self._without = without
            log.warning(
                "engine_feature_refused", deployment=self._deployment, parameters=sorted(without)
            )
        return response

    def _extra(self, call: Call) -> frozenset[str]:
        """Parameters of the request without which an answer is as good."""
        logprobs = {"logprobs"} if call.alternatives is not None else set()
        return frozenset(logprobs | ({"prompt_cache_key"} if self._key_of(call) else set()))

    def _key_of(self, call: Call) -> str | None:
        return _cache_key(call) if self._keyed else None

    def cached_prefix(self, call: Call) -> str | None:
        """See ``Caching``: what is keyed, and has so many tokens by any usual count."""
        size = len(call.system.encode()) + len(call.prefix.encode())
        return self._key_of(call) if size >= ALONE_FROM_BYTES else None

    async def _ask(self, call: Call, without: frozenset[str]) -> httpx2.Response:
        """One request, ``without`` some of its extra parameters."""
        assert self._client is not None
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": _content(call)}]
        if call.system:
            messages.insert(0, {"role": "system", "content": call.system})
        limit, none = call.output_limit, openai.omit
        newer = self._limit_parameter == "max_completion_tokens"
        numbered = self._logprobs_parameter == "number"
        shown = None if "logprobs" in without else call.alternatives
        key = None if "prompt_cache_key" in without else self._key_of(call)
        try:
            raw = await self._client.chat.completions.with_raw_response.create(
                model=call.model,
                messages=messages,
                response_format=_format(call) or none,
                max_completion_tokens=limit if newer else none,
                max_tokens=none if newer else limit,
                logprobs=none if shown is None or numbered else True,
                temperature=none if call.temperature is None else call.temperature,
                service_tier="flex" if call.flex else none,
                top_logprobs=none if numbered else shown or none,
                prompt_cache_key=key or none,
                # The SDK's own parameter takes no number.
                extra_body=self._streamed(call)
                | ({"logprobs": max(1, shown)} if numbered and shown is not None else {}),
                extra_headers=self._headers(call),
                timeout=self._timeout(call),
            )
        except openai.APIStatusError as error:
            return error.response
        return raw.http_response

    def _streamed(self, call: Call) -> dict[str, Any]:
        """What asks for a stream; said beside the SDK's parameters, so that it reads all of it."""
        if call.first_token is None:
            return {}
        asked = {"stream_options": {"include_usage": True}}
        return {"stream": True, **(asked if self._stream_usage == "option" else {})}

    def _fold(self, events: Iterable[dict[str, Any]]) -> dict[str, Any]:
        return streams.chat(events)

    def _bill(self, body: Mapping[str, Any]) -> Usage:
        return _usage(body)

    def _read(self, body: Mapping[str, Any]) -> ApiAnswer:
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        choice = first if isinstance(first, dict) else {}
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        finish = finishes.meaning(choice.get("finish_reason"))
        if finish == finishes.UNSAID:
            finish = finishes.meaning(choice.get("native_finish_reason"))
        if wire.text(message, "refusal"):
            finish = "filtered"
        return ApiAnswer(
            text=wire.parts(message, "content"),
            finish=finish,
            model=wire.name(body, "model"),
            tokens=logprobs.read(choice),
        )


def _content(call: Call) -> str | list[ChatCompletionContentPartParam]:
    """One text, or with images the parts that it is."""
    if not call.images:
        return call.prefix + call.question
    parts: list[ChatCompletionContentPartParam] = []
    if call.prefix.strip():
        parts.append({"type": "text", "text": call.prefix})
    for image in call.images:
        url = f"data:{image.media_type};base64,{image.base64}"
        # Said, since what models do by themselves has no bound that holds for all of them.
        parts.append({"type": "image_url", "image_url": {"url": url, "detail": "high"}})
    if call.question.strip():
        parts.append({"type": "text", "text": call.question})
    return parts


def _cache_key(call: Call) -> str | None:
    """Names what the call shares with others, so that they meet the same cache, and nothing of it;
    ``None`` for a prefix that no cache keeps.
    """
    shared = f"{call.model}\0{call.system}\0{call.prefix}".encode("utf-8", "surrogatepass")
    return sha256(shared).hexdigest()[:32] if len(shared) >= CACHED_FROM_BYTES else None


def _format(call: Call) -> ResponseFormatJSONSchema | ResponseFormatJSONObject | None:
    if call.schema is None:
        return {"type": "json_object"} if call.json_object else None
    return {
        "type": "json_schema",
        "json_schema": {"name": call.schema_name, "schema": dict(call.schema), "strict": True},
    }


def _usage(body: Mapping[str, Any]) -> Usage:
    told = table(body, "usage", required=True)
    # Chat completions and responses count alike under different names; servers behind a base URL
    # use either.
    asked, said = ("prompt", "completion") if "prompt_tokens" in told else ("input", "output")
    prompt = count(told, f"{asked}_tokens", required=True)
    output, reasoning = _output(told, said, prompt)
    kept = table(told, f"{asked}_tokens_details")
    # Moonshot and DeepSeek say it outside the details.
    read = (
        count(kept, "cached_tokens")
        or count(told, "cached_tokens")
        or count(told, "prompt_cache_hit_tokens")
    )
    written = count(kept, "cache_write_tokens")
    if read + written > prompt:
        raise Unreadable("more cached than prompt tokens")
    # Perplexity reads pages for an answer and bills them beside the prompt.
    cited = count(told, "citation_tokens")
    return Usage(
        input_tokens=prompt - read - written + cited,
        cache_read_tokens=read,
        cache_write_5m_tokens=written,
        output_tokens=output,
        reasoning_tokens=reasoning,
        service_tier=wire.name(body, "service_tier"),
    )


def _output(told: Mapping[str, Any], said: str, prompt: int) -> tuple[int, int]:
    """The output tokens and those of them that were reasoning; never fewer than are billed.

    OpenAI, DeepSeek, OpenRouter, vLLM and SGLang (this one at the top of ``usage``) count reasoning
    in the completion, and their total agrees. xAI and Gemini leave it out of the completion and
    count it in the total (https://docs.x.ai, "Consumption and rate limits"). Perplexity leaves it
    out of both, at the top of ``usage``. Where nothing proves that it is counted, it is added.
    """
    output = count(told, f"{said}_tokens", required=True)
    details = table(told, f"{said}_tokens_details")
    reasoning = max(count(details, "reasoning_tokens"), count(told, "reasoning_tokens"))
    hidden = bills.beyond(told, prompt + output)
    searched = told.get("num_search_queries") is not None or bool(count(told, "citation_tokens"))
    counted = told.get("total_tokens") is not None and not searched
    if not counted or reasoning > output + hidden:
        hidden = max(hidden, reasoning)
    return output + hidden, reasoning or hidden
