"""OpenAI's ``POST /v1/chat/completions``, without tools."""

import re
import time

from sandbox.answering import schema_rules
from sandbox.wires import events, images, logprobs
from sandbox.wires.call import Api, Call, Json, Refused, Served
from sandbox.wires.wire import (
    Headers,
    Remaining,
    field,
    known_limits,
    messages,
    model,
    positive,
    refuse_tools,
    refuse_unknown,
    text_parts,
)

# OpenAI's own default is the model's maximum; ours is this many tokens.
DEFAULT_MAX_OUTPUT = 4096
PARAMETERS = {
    *("model", "messages", "max_tokens", "max_completion_tokens", "response_format", "n"),
    *("temperature", "top_p", "stop", "seed", "user", "metadata", "store", "logprobs"),
    *("top_logprobs", "presence_penalty", "frequency_penalty", "logit_bias", "service_tier"),
    *("reasoning_effort", "verbosity", "prompt_cache_key", "prompt_cache_retention"),
    *("safety_identifier", "stream", "stream_options", "tools", "tool_choice", "functions"),
    *("parallel_tool_calls", "function_call", "modalities", "prediction", "web_search_options"),
}
_TIERS = ("auto", "default", "flex", "priority")
_ROLES = {"system", "developer", "user", "assistant"}
_TOO_LARGE = (
    "Request too large for the model in organization org-sandbox on tokens per min (TPM): Limit "
    "{}, Requested {}. The input or output tokens must be reduced in order to run successfully."
)
"""OpenAI's words; Groq, whose status is 413, says nearly the same."""
_TYPES = {401: "authentication_error", 429: "requests"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class OpenAIWire:
    """Chat completions."""

    api: Api = "openai"
    most_bytes = 50 * 1024 * 1024

    def key(self, headers: dict[bytes, bytes]) -> str:
        """The bearer token."""
        kind, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        return key.strip() if kind.lower() == "bearer" else ""

    def read(self, body: Json) -> Call:
        """The call."""
        refuse_tools(body)
        refuse_unknown(body, PARAMETERS)
        if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
            raise Refused(400, "max_tokens and max_completion_tokens cannot both be set")
        if field(body, "n", int, 1) != 1:
            raise Refused(400, "n: the sandbox gives one choice")
        turns = messages(body)
        pieces: list[str] = []
        subject = ""
        pictures: list[Json] = []
        for turn in turns:
            if turn["role"] not in _ROLES:
                raise Refused(400, f"messages: a role is one of {', '.join(sorted(_ROLES))}")
            seen = pictures if turn["role"] == "user" else None
            for part in text_parts(turn.get("content"), "messages", seen):
                pieces.append(part["text"])
                subject = part["text"] if turn["role"] == "user" else subject
        streamed: bool = field(body, "stream", bool, False)
        options: Json = field(body, "stream_options", dict, {})
        if options and not streamed:
            words = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise Refused(400, words, param="stream_options")
        alternatives = logprobs.alternatives_asked_for(body)
        asked = field(body, "response_format", dict, {})
        schema, wants_json = _format(asked)
        if wants_json and schema is None and not any("json" in text.lower() for text in pieces):
            raise Refused(
                400, "'messages' must contain the word 'json' to use response_format json_object"
            )
        return Call(
            api="openai",
            model=model(body),
            pieces=tuple(pieces),
            subject=subject,
            image_tokens=images.of_openai(pictures, model(body)),
            schema=schema,
            wants_json=wants_json,
            max_output=positive(body, "max_completion_tokens")
            or positive(body, "max_tokens")
            or DEFAULT_MAX_OUTPUT,
            logprobs=alternatives,
            streamed=streamed,
            usage_streamed=field(options, "include_usage", bool, False),
            tier=_tier(body),
            uses=frozenset(
                {name for name in ("max_tokens", "max_completion_tokens") if body.get(name)}
                | {str(asked.get("type", "text"))}
                | {turn["role"] for turn in turns if turn["role"] == "system"}
                | ({"logprobs"} if alternatives is not None else set())
                | ({"images"} if pictures else set())
            ),
        )

    def answer(self, call: Call, served: Served, seq: int) -> Json:
        """A ``chat.completion``; ``prompt_tokens`` includes the cached ones."""
        usage = served.usage
        message = {"role": "assistant", "content": served.text, "refusal": None}
        told = None if call.logprobs is None else logprobs.of(call, served.text)
        # Said where it was asked for, as OpenAI does.
        tier = {} if call.tier is None else {"service_tier": served.tier}
        return {
            "id": f"chatcmpl-sandbox-{seq}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": f"sandbox/{call.model}",
            "choices": [
                {"index": 0, "message": message, "logprobs": told, "finish_reason": served.finish}
            ],
            "usage": {
                "prompt_tokens": usage.all_input,
                "completion_tokens": usage.output,
                "total_tokens": usage.all_input + usage.output,
                "prompt_tokens_details": {"cached_tokens": usage.cached},
                "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
            },
            **tier,
        }

    def events(self, call: Call, answer: Json, /) -> list[Json]:
        """``chat.completion.chunk``s."""
        return events.chunks(answer, "end" if call.usage_streamed else "none")

    def error(self, refused: Refused, _request: str, /) -> Json | list[Json]:
        """OpenAI's error object; another vendor may put it into an array."""
        return {"error": self.as_json(refused)}

    def as_json(self, refused: Refused) -> Json:
        """What an error says."""
        status = refused.status
        kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
        code: str | int | None = refused.code or _CODES.get(status)
        if refused.inside:
            code = status
        message = refused.message
        if refused.too_large is not None:
            message, kind, code = _TOO_LARGE.format(*refused.too_large), "tokens", _CODES[429]
        return {"message": message, "type": kind, "param": refused.param, "code": code}

    def worded(self, refused: Refused) -> Refused:
        """The refusal as it is."""
        return refused

    def headers(self, seq: int, remaining: Remaining, limits: Remaining) -> Headers:
        """``x-request-id`` and ``x-ratelimit-*``."""
        requests_left, tokens_left = remaining
        requests, tokens = limits
        told = {
            b"x-ratelimit-limit-requests": requests,
            b"x-ratelimit-remaining-requests": requests_left,
            b"x-ratelimit-remaining-tokens": tokens_left,
            b"x-ratelimit-limit-tokens": tokens,
        }
        return [(b"x-request-id", b"req_sandbox_%d" % seq), *known_limits(told)]


def _tier(body: Json) -> str | None:
    tier: str | None = field(body, "service_tier", str)
    if tier not in (None, *_TIERS):
        named = ", ".join(f"'{name}'" for name in _TIERS)
        words = f"Invalid value: '{tier}'. Supported values are: {named}."
        raise Refused(400, words, code="invalid_value", param="service_tier")
    return tier


def _format(asked: Json) -> tuple[Json | None, bool]:
    """The schema, if any, and whether JSON is wanted at all."""
    kind = asked.get("type", "text")
    if kind == "text":
        return None, False
    if kind == "json_object":
        return None, True
    if kind != "json_schema":
        raise Refused(400, "response_format: expected text, json_object or json_schema")
    named: Json = field(asked, "json_schema", dict, {})
    schema: Json | None = field(named, "schema", dict)
    if schema is None or not field(named, "name", str):
        raise Refused(400, "response_format: json_schema needs a name and a schema")
    if re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", named["name"]) is None:
        raise Refused(400, "response_format.json_schema.name: letters, digits, _ and - only")
    if field(named, "strict", bool, False):
        schema_rules.check("openai", schema)
    return schema, True
