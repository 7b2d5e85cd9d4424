"""Anthropic's ``POST /v1/messages``, without tools."""

from sandbox.answering import schema_rules
from sandbox.answering.cache import HOUR
from sandbox.wires import events, images
from sandbox.wires.call import Api, CacheMark, Call, Json, Refused, Served
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

MINUTES_5 = 300
_TTL = {"5m": MINUTES_5, "1h": HOUR}
_STOP = {"stop": "end_turn", "length": "max_tokens"}
_PARAMETERS = {
    *("model", "messages", "system", "max_tokens", "output_config", "metadata", "thinking"),
    *("temperature", "top_p", "top_k", "stop_sequences", "service_tier", "stream", "tools"),
    *("tool_choice", "cache_control", "inference_geo", "container", "context_management"),
}
_TOO_LARGE = (
    "This request would exceed the rate limit for your organization (org-sandbox) of {:,} input "
    "tokens per minute. You can see the response headers for current usage. Please reduce the "
    "prompt length or the maximum tokens requested, or try again later."
)
_NO_MONEY = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to "
    "upgrade or purchase credits."
)
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


class AnthropicWire:
    """Messages."""

    api: Api = "anthropic"
    most_bytes = 32 * 1024 * 1024

    def key(self, headers: dict[bytes, bytes]) -> str:
        """``x-api-key``, or a bearer token."""
        key = headers.get(b"x-api-key", b"").decode("latin-1").strip()
        kind, _, bearer = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        return key or (bearer.strip() if kind.lower() == "bearer" else "")

    def read(self, body: Json) -> Call:
        """The call; a part with ``cache_control`` ends a cacheable prefix."""
        refuse_tools(body)
        refuse_unknown(body, _PARAMETERS)
        max_output = positive(body, "max_tokens")
        if max_output is None:
            raise Refused(400, "max_tokens: Field required")
        pieces: list[str] = []
        marks: list[CacheMark] = []
        subject = ""
        pictures: list[Json] = []
        turns = messages(body)
        if any(turn["role"] not in ("user", "assistant") for turn in turns):
            raise Refused(400, "messages: a role is user or assistant; system stands apart")
        for turn in [{"role": "system", "content": body.get("system")}, *turns]:
            seen = pictures if turn["role"] == "user" else None
            for part in text_parts(turn.get("content"), turn["role"], seen):
                if not part["text"].strip():
                    raise Refused(400, "text content blocks must contain non-whitespace text")
                pieces.append(part["text"])
                subject = part["text"] if turn["role"] == "user" else subject
                _mark(part, len(pieces), marks)
        _mark(body, len(pieces), marks)
        schema = _schema(field(body, "output_config", dict, {}))
        return Call(
            api="anthropic",
            model=model(body),
            pieces=tuple(pieces),
            subject=subject,
            image_tokens=images.of_anthropic(pictures, model(body)),
            schema=schema,
            wants_json=False,
            max_output=max_output,
            marks=tuple(marks),
            streamed=field(body, "stream", bool, False),
            uses=frozenset(
                {"max_tokens"}
                | ({"system"} if body.get("system") else set())
                | ({"json_schema"} if schema is not None else set())
                | ({"images"} if pictures else set())
            ),
        )

    def answer(self, call: Call, served: Served, seq: int) -> Json:
        """A ``message``; ``input_tokens`` leaves out what was cached or written to the cache."""
        usage = served.usage
        return {
            "id": f"msg_sandbox_{seq}",
            "type": "message",
            "role": "assistant",
            "model": f"sandbox/{call.model}",
            "content": [{"type": "text", "text": served.text}],
            "stop_reason": _STOP[served.finish],
            "stop_sequence": None,
            "usage": {
                "input_tokens": usage.input,
                "cache_read_input_tokens": usage.cached,
                "cache_creation_input_tokens": usage.written + usage.written_1h,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": usage.written,
                    "ephemeral_1h_input_tokens": usage.written_1h,
                },
                "output_tokens": usage.output,
                "output_tokens_details": {"thinking_tokens": usage.reasoning},
                "service_tier": "standard",
            },
        }

    def events(self, _call: Call, answer: Json, /) -> list[Json]:
        """``message_start`` to ``message_stop``."""
        return events.of_message(answer)

    def worded(self, refused: Refused) -> Refused:
        """The refusal, of an account without money with Anthropic's status and words."""
        if refused.fault == "no_quota":
            return Refused(400, _NO_MONEY, fault=refused.fault)
        return refused

    def error(self, refused: Refused, request: str, /) -> Json:
        """Anthropic's error object."""
        kind = _TYPES.get(refused.status, "api_error")
        inside = {"code": refused.status} if refused.inside else {}
        message = refused.message
        if refused.too_large is not None:
            # What a gateway in front of it sends for too many bytes does not name any number.
            large = "Request exceeds the maximum size"
            message = large if refused.status == 413 else _TOO_LARGE.format(refused.too_large[0])
        return {
            "type": "error",
            "error": {"type": kind, "message": message, **inside},
            "request_id": request,
        }

    def headers(self, seq: int, remaining: Remaining, limits: Remaining) -> Headers:
        """``request-id`` and ``anthropic-ratelimit-*``."""
        requests_left, tokens_left = remaining
        requests, tokens = limits
        told = {
            b"anthropic-ratelimit-requests-limit": requests,
            b"anthropic-ratelimit-requests-remaining": requests_left,
            b"anthropic-ratelimit-tokens-limit": tokens,
            b"anthropic-ratelimit-tokens-remaining": tokens_left,
            b"anthropic-ratelimit-input-tokens-limit": tokens,
            b"anthropic-ratelimit-input-tokens-remaining": tokens_left,
        }
        return [(b"request-id", b"req_sandbox_%d" % seq), *known_limits(told)]


def _mark(part: Json, pieces: int, marks: list[CacheMark]) -> None:
    asked: Json | None = field(part, "cache_control", dict)
    if asked is None:
        return
    ttl = asked.get("ttl", "5m")
    if asked.get("type") != "ephemeral" or ttl not in _TTL:
        raise Refused(400, "cache_control: expected ephemeral with a ttl of 5m or 1h")
    marks.append(CacheMark(pieces, _TTL[ttl]))


def _schema(output_config: Json) -> Json | None:
    asked: Json | None = field(output_config, "format", dict)
    if asked is None:
        return None
    schema: Json | None = field(asked, "schema", dict)
    if asked.get("type") != "json_schema" or schema is None:
        raise Refused(400, "output_config.format: expected a json_schema with a schema")
    schema_rules.check("anthropic", schema)
    return schema
