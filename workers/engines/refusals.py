"""What a provider's error says, whether it came as an HTTP status or inside a reply with 200.

Nothing of an error's message is kept: providers quote the prompt in it. What has no code is told
by phrases that vendors are known to write, which are looked for and forgotten.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from tierqueue.router.outcome import Trouble
from tierqueue.workers.engines import wire
from tierqueue.workers.engines.wire import Unreadable

NO_QUOTA = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error"}
)
"""Codes, whatever the status, of an account without money or quota: no waiting cures it."""

STATUS_OF = {
    "invalid_request_error": 400,
    "bad_request": 400,
    "invalid_argument": 400,
    "content_filter": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "unauthorized": 401,
    "billing_error": 402,
    "payment_required": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "resource_exhausted": 429,
    "resourceexhausted": 429,
    "too_many_requests": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "bad_gateway": 502,
    "service_unavailable": 503,
    "unavailable": 503,
    "gateway_timeout": 504,
    "timeout_error": 504,
    "deadline_exceeded": 504,
    "overloaded": 529,
    "overloaded_error": 529,
}
"""The status that vendors send with each of these codes, for errors that came with a 200."""

TOO_LONG = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "exceed_context_size_error",
        "model_context_window_exceeded",
        "model_max_prompt_tokens_exceeded",
    }
)
"""Codes for an item that the model's context window does not hold."""

_TOO_LONG = re.compile(
    r"maximum context length"
    r"|model'?s context length is only"
    r"|prompt is too long"
    r"|prompt too long"
    r"|input is too long"
    r"|maximum prompt length is \d"
    r"|exceeds? the (?:model'?s )?(?:available )?context (?:window|size|length)"
    r"|context (?:length|window) (?:exceeded|exceeds limit)"
    r"|greater than the context length"
    r"|longer than the model'?s context"
    r"|reduce the length of the (?:messages|prompt|input)"
    r"|input token count .{0,60}exceeds"
    r"|token count of \d+ exceeds the limit"
    r"|exceeded model token limit"
    r"|range of input length should be"
    r"|too large for model with \d"
    r"|tokens \+ `?max_new_tokens`? must be"
)
"""What Anthropic, OpenAI, Gemini, Mistral, Groq, xAI, vLLM, TGI, llama.cpp, LM Studio, Ollama and
others write, in lower case, where no code says it."""

WITHHELD = frozenset(
    {
        "content_filter",
        "content_filtered",
        "content_policy_violation",
        "data_inspection_failed",
        "datainspectionfailed",
        "invalid_prompt",
        "moderation_blocked",
        "prohibited_content",
        "responsibleaipolicyviolation",
    }
)
"""Codes for a prompt or an answer that the provider's filter stopped."""

_WITHHELD = re.compile(r"content filtering policy|content management policy")

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_LOOKED_AT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error in place of an answer.

    ``status`` is the HTTP status, or the one that the error inside a 200 names. ``words`` are its
    codes, of harmless characters. ``own``: it is the provider's own error and not a gateway's.
    ``too_long``: the context window does not hold the request. ``withheld``: a filter stopped it.
    ``after`` is the wait it asks for, in seconds. ``begun``: it came in place of an answer that
    had been begun, and may have been billed.
    """

    status: int
    words: tuple[str, ...] = ()
    own: bool = False
    too_long: bool = False
    withheld: bool = False
    after: float | None = None
    begun: bool = False


def read(response: httpx2.Response) -> Refusal | None:
    """The error that ``response`` is; ``None`` for a 200 without one.

    Raises ``Unreadable`` for a 200 whose body is no JSON object or whose error names no code.
    """
    if response.is_success:
        return _inside(wire.body_of(response), response.headers)
    try:
        error = _error(wire.json_of(response), alone=True)
    except Unreadable:
        error = None
    return _refusal(response.status_code, error, response.headers)


def trouble(refusal: Refusal) -> Trouble | None:
    """What an error says of the deployment; ``None`` where it speaks of the request alone."""
    status = refusal.status
    if status == 402 or not NO_QUOTA.isdisjoint(refusal.words):
        return "quota"
    if status == 429:
        return "throttled"
    if status in (401, 403):
        return "unauthorized"
    if status == 404:
        return "not_found"
    return "outage" if status >= 500 and not refusal.too_long else None


def says_too_long(message: str) -> bool:
    """Whether an error's message says that the context window does not hold the request."""
    return bool(_TOO_LONG.search(message[:_LOOKED_AT].lower()))


def _inside(body: Mapping[str, Any], headers: httpx2.Headers) -> Refusal | None:
    error, begun = _error(body, alone=False), False
    if error is None:
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        error, begun = _error(first, alone=False), _has_text(first)
    if error is None:
        return None
    status = _status(error)
    if status is None:
        raise Unreadable("it holds an error without a code")
    return _refusal(status, error, headers, begun=begun)


def _has_text(choice: Any) -> bool:
    message = choice.get("message") if isinstance(choice, dict) else None
    return isinstance(message, dict) and bool(message.get("content"))


def _error(body: Any, *, alone: bool) -> dict[str, Any] | None:
    """The error object in a body, in the shapes that servers send.

    ``alone``: the status has said already that the body is an error, so that its own fields count.
    """
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if isinstance(error, dict) and error:
        return error
    if isinstance(error, str) and error:
        return {"message": error, "code": body.get("code"), "type": body.get("error_type")}
    if body.get("object") == "error" or body.get("type") == "error":
        return body
    if alone and isinstance(body.get("message"), str) and ("code" in body or "type" in body):
        return body
    return None


def _refusal(
    status: int, error: dict[str, Any] | None, headers: httpx2.Headers, *, begun: bool = False
) -> Refusal:
    words = tuple(dict.fromkeys(_words(error or {})))
    known = {word.lower() for word in words}
    said = _said(error or {})
    about_request = status in (400, 403, 413, 422, 500)
    too_long = not TOO_LONG.isdisjoint(known) or (about_request and says_too_long(said))
    metadata = (error or {}).get("metadata")
    flagged = isinstance(metadata, dict) and bool(metadata.get("reasons"))
    withheld = (
        not WITHHELD.isdisjoint(known)
        or (status == httpx2.codes.FORBIDDEN and flagged)
        or (about_request and bool(_WITHHELD.search(said)))
    )
    return Refusal(
        status=status,
        words=words,
        own=error is not None,
        too_long=too_long,
        withheld=withheld and not too_long,
        after=_after(error or {}, headers),
        begun=begun,
    )


def _status(error: Mapping[str, Any]) -> int | None:
    """The status that an error inside a 200 names by number or by word."""
    for key in ("code", "status", "status_code"):
        told = error.get(key)
        if isinstance(told, str) and told.isdecimal() and len(told) == 3:
            told = int(told)
        if isinstance(told, int) and not isinstance(told, bool) and 400 <= told < 600:
            return told
    words = [word.lower() for word in _words(error)]
    known = (STATUS_OF[word] for word in words if word in STATUS_OF)
    if not TOO_LONG.isdisjoint(words) or not WITHHELD.isdisjoint(words):
        return 400
    return next(known, 500 if words else None)


def _words(error: Mapping[str, Any]) -> Iterator[str]:
    """The error's codes, also those of the error it wraps, outermost first."""
    inner = error.get("innererror")
    inner = inner if isinstance(inner, dict) else {}
    said = [error.get(key) for key in ("code", "type", "status")] + [inner.get("code")]
    return (word for word in said if isinstance(word, str) and _CODE.fullmatch(word))


def _after(error: Mapping[str, Any], headers: httpx2.Headers) -> float | None:
    """The wait asked for, in seconds: by a header, by one that a gateway passes on inside of the
    error, or by Google's ``RetryInfo``.
    """
    metadata, details = error.get("metadata"), error.get("details")
    passed = metadata.get("headers") if isinstance(metadata, dict) else None
    found = (
        {name.lower(): value for name, value in passed.items()} if isinstance(passed, dict) else {}
    )
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            found.setdefault("retry-after", delay.removesuffix("s"))
    after = wire.retry_after(headers)
    return wire.retry_after(found) if after is None else after


def _said(error: Mapping[str, Any]) -> str:
    """What the error says in words, to look for known phrases in; never kept."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    texts = [error.get("message"), raw if isinstance(raw, str) else json.dumps(raw)]
    return " ".join(text[: _LOOKED_AT // 2].lower() for text in texts if isinstance(text, str))
