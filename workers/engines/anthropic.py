"""The messages API as Anthropic speaks it."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Literal, cast

import anthropic
import httpx2
from anthropic.types import (
    Base64ImageSourceParam,
    ImageBlockParam,
    OutputConfigParam,
    TextBlockParam,
)

from tierqueue.router.outcome import Usage
from tierqueue.router.policy.providers import ANTHROPIC_URL, PromptCache
from tierqueue.workers.engines.anthropic_batches import AnthropicBatches
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.http import bills, finishes, streams, wire
from tierqueue.workers.engines.http.api import ApiAnswer, ApiEngine
from tierqueue.workers.engines.http.bills import count, table
from tierqueue.workers.engines.http.wire import Unreadable

_MediaType = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]

CACHED_FROM_BYTES = 16_384
"""From this size on the shared part is marked for the prompt cache: about 4,096 tokens, the most
that any of Anthropic's models demands before it caches at all."""


class AnthropicEngine(ApiEngine):
    """One deployment that speaks the messages API."""

    def __init__(
        self,
        *,
        deployment: str,
        base_url: str | None,
        key: str,
        simulated: bool,
        metered: bool,
        prompt_cache: PromptCache = "marks",
        connect_timeout: float = 10.0,
    ) -> None:
        super().__init__(
            deployment=deployment,
            simulated=simulated,
            metered=metered,
            connect_timeout=connect_timeout,
        )
        self._url = base_url or ANTHROPIC_URL
        self._key = key
        self._marked = prompt_cache == "marks"
        self._client: anthropic.AsyncAnthropic | None = None

    async def start(self) -> None:
        """Open the client; calls nobody."""
        self._client = anthropic.AsyncAnthropic(
            base_url=self._url,
            api_key=self._key,
            max_retries=0,
            http_client=self._open("anthropic"),
        )

    @property
    def batches(self) -> AnthropicBatches:
        """Its batch API; the engine must be started."""
        assert self._client is not None
        return AnthropicBatches(self._client)

    def cached_prefix(self, call: Call) -> str | None:
        """See ``Caching``: what is marked."""
        shared = f"{call.model}\0{call.system}\0{call.prefix}".encode("utf-8", "surrogatepass")
        marked = self._marked and call.prefix.strip() and _large(call)
        return sha256(shared).hexdigest() if marked else None

    async def _send(self, call: Call) -> httpx2.Response:
        assert self._client is not None
        try:
            raw = await self._client.messages.with_raw_response.create(
                model=call.model,
                system=call.system if call.system.strip() else anthropic.omit,
                messages=[{"role": "user", "content": _blocks(call, marked=self._marked)}],
                max_tokens=call.output_limit,
                output_config=_format(call) or anthropic.omit,
                # The SDK has no parameter for it any more; the API has, for some of its models.
                extra_body={
                    **({} if call.temperature is None else {"temperature": call.temperature}),
                    # Said here, the SDK reads all of it.
                    **({} if call.first_token is None else {"stream": True}),
                },
                extra_headers=self._headers(call),
                timeout=self._timeout(call),
            )
        except anthropic.APIStatusError as error:
            return error.response
        return raw.http_response

    def _fold(self, events: Iterable[dict[str, Any]]) -> dict[str, Any]:
        return streams.messages(events)

    def _bill(self, body: Mapping[str, Any]) -> Usage:
        return _usage(body)

    def _read(self, body: Mapping[str, Any]) -> ApiAnswer:
        return ApiAnswer(
            text=wire.parts(body, "content"),
            finish=finishes.meaning(body.get("stop_reason")),
            model=wire.name(body, "model"),
        )


def _large(call: Call) -> bool:
    return len(call.system.encode()) + len(call.prefix.encode()) >= CACHED_FROM_BYTES


def _blocks(call: Call, *, marked: bool) -> list[TextBlockParam | ImageBlockParam]:
    # A block of blanks alone is refused, and says nothing.
    blocks: list[TextBlockParam | ImageBlockParam] = []
    if call.prefix.strip():
        shared: TextBlockParam = {"type": "text", "text": call.prefix}
        if marked and _large(call):
            shared["cache_control"] = {"type": "ephemeral", "ttl": "5m"}
        blocks.append(shared)
    for image in call.images:
        source: Base64ImageSourceParam = {
            "type": "base64",
            "media_type": cast("_MediaType", image.media_type),
            "data": image.base64,
        }
        blocks.append({"type": "image", "source": source})
    if call.question.strip():
        blocks.append({"type": "text", "text": call.question})
    return blocks


def _format(call: Call) -> OutputConfigParam | None:
    if call.schema is None:
        return None
    return {"format": {"type": "json_schema", "schema": dict(call.schema)}}


def _usage(body: Mapping[str, Any]) -> Usage:
    told = table(body, "usage", required=True)
    kinds = table(told, "cache_creation")
    hour = count(kinds, "ephemeral_1h_input_tokens")
    five = count(kinds, "ephemeral_5m_input_tokens")
    if told.get("cache_creation_input_tokens") is not None:
        written = count(told, "cache_creation_input_tokens")
        five = five if kinds else written
        if five + hour != written:
            raise Unreadable("the cache writes do not add up")
    asked = count(told, "input_tokens", required=True)
    read = count(told, "cache_read_input_tokens")
    output = count(told, "output_tokens", required=True)
    thinking = count(table(told, "output_tokens_details"), "thinking_tokens")
    hidden = bills.beyond(told, asked + read + five + hour + output)
    output += hidden
    if thinking > output:
        raise Unreadable("more thinking than output tokens")
    return Usage(
        input_tokens=asked,
        cache_read_tokens=read,
        cache_write_5m_tokens=five,
        cache_write_1h_tokens=hour,
        output_tokens=output,
        reasoning_tokens=thinking or hidden,
        service_tier=wire.name(told, "service_tier"),
    )
