"""Refusals: a provider's error, whether it came as an HTTP status or inside a reply with 200.

Nothing of an error's message is kept: providers quote the prompt in it. What has no code is told
by phrases that vendors are known to write, which are looked for and forgotten; what the request
itself may have brought into a message decides nothing.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from tierqueue.router.outcome import Dimension, FlexRefused, Trouble
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.http import rate_limits, vendor_codes, vendor_phrases, wire
from tierqueue.workers.engines.http.token_limits import OversizedRequest, too_large
from tierqueue.workers.engines.http.wire import Unreadable

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_MOST_READ = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRefusal:
    """An error in place of an answer.

    ``status`` is the HTTP status, or the one that the error inside a 200 names. ``words`` are its
    codes, of harmless characters. ``own``: it is the provider's own error and not a gateway's.
    ``too_long``: the context window does not hold the request; ``too_large``: the account may
    never ask for as much at once. ``withheld``: a filter stopped it.
    ``after`` is the wait it asks for, in seconds. ``begun``: it came in place of an answer that
    had been begun, and may have been billed. ``over``: which limit a 429 is of.
    """

    status: int
    words: tuple[str, ...] = ()
    own: bool = False
    too_long: bool = False
    too_large: OversizedRequest | None = None
    withheld: bool = False
    after: float | None = None
    begun: bool = False
    account: Literal["quota", "unauthorized", "not_found"] | None = None
    over: Dimension | None = None


def read(response: httpx2.Response, call: Call) -> ProviderRefusal | None:
    """The error that the ``response`` to a ``call`` is; ``None`` for a 200 without one.

    Raises ``Unreadable`` for a 200 whose body is no JSON object or whose error names no code.
    """
    if response.is_success:
        return _inside(wire.body_of(response), response.headers, call)
    try:
        error = _error(wire.json_of(response), alone=True)
    except Unreadable:
        error = None
    return _refusal(response.status_code, error, response.headers, call)


def trouble(refusal: ProviderRefusal) -> Trouble | None:
    """What an error says of the deployment; ``None`` where it speaks of the request alone."""
    status = refusal.status
    known = {word.lower() for word in refusal.words}
    if refusal.account is not None:
        return refusal.account
    if status == 402 or not vendor_codes.NO_QUOTA.isdisjoint(known):
        return "quota"
    if status == 429:
        return "throttled"
    if status in (401, 403, 407) or not vendor_codes.UNAUTHORIZED.isdisjoint(known):
        return "unauthorized"
    if status == 404 or not vendor_codes.NO_MODEL.isdisjoint(known):
        return "not_found"
    if 300 <= status < 400 or status in vendor_codes.NO_ADDRESS:
        # The payload goes where the policy sends it, and nobody is there.
        return "not_found"
    return "outage" if status >= 500 and not refusal.too_long else None


def of_flex(refusal: ProviderRefusal, response: httpx2.Response, call: Call) -> FlexRefused | None:
    """What an error says of the flex tier that was asked; ``None`` where it is about another thing.

    OpenAI and Azure say 429 for want of capacity, as for a rate, with other words; Google says 503
    too, Groq 498. Where the model is not there, it is 400 and names the parameter.
    """
    known = {word.lower() for word in refusal.words}
    if names("service_tier", response, call):
        return FlexRefused(lasting=True)
    of_a_rate = refusal.over is not None or "rate_limit_exceeded" in known
    if trouble(refusal) == "throttled" and (not of_a_rate or "resource_unavailable" in known):
        return FlexRefused(after=refusal.after)
    full = refusal.own and refusal.status in vendor_codes.FLEX_FULL
    return FlexRefused(after=refusal.after) if full else None


def says_too_long(message: str, call: Call) -> bool:
    """Whether an error's message says that the context window does not hold the request."""
    return vendor_phrases.says(vendor_phrases.TOO_LONG, [message[:_MOST_READ]], _quotable(call))


def names(parameter: str, response: httpx2.Response, call: Call) -> bool:
    """Whether an error is about this ``parameter`` of the request for a ``call``."""
    if response.status_code not in (400, 403, 422):
        return False
    said = response.content[:_MOST_READ].lower()
    quoted = any(parameter in text.lower() for text in _quotable(call))
    return parameter.encode() in said and not quoted


def _inside(body: Mapping[str, Any], headers: httpx2.Headers, call: Call) -> ProviderRefusal | None:
    nothing_else = not body.get("choices") and not body.get("content")
    error, begun = _minimax(body) or _error(body, alone=nothing_else), False
    if error is None:
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        error, begun = _error(first, alone=False), _has_text(first)
    if error is None:
        return None
    status = _status(error)
    if status is None:
        raise Unreadable("it holds an error without a code")
    return _refusal(status, error, headers, call, begun=begun)


def _minimax(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """MiniMax's own error, in the shape of the others; all its replies have a ``base_resp``."""
    told = body.get("base_resp")
    code = told.get("status_code") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(code, int) or code == 0:
        return None
    withheld = code in vendor_codes.MINIMAX_WITHHELD
    return {
        "status": vendor_codes.MINIMAX.get(code, 500),
        "code": "content_filter" if withheld else None,
        "message": told.get("status_msg"),
    }


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
    status: int,
    error: dict[str, Any] | None,
    headers: httpx2.Headers,
    call: Call,
    *,
    begun: bool = False,
) -> ProviderRefusal:
    error, own = error or {}, error is not None
    words = tuple(dict.fromkeys(_words(error)))
    known = {word.lower() for word in words}
    messages = list(_messages(error))
    about_request = status in (400, 403, 412, 413, 422, 500)

    def says(phrases: re.Pattern[str]) -> bool:
        return about_request and vendor_phrases.says(phrases, messages, _quotable(call))

    too_long = not vendor_codes.TOO_LONG.isdisjoint(known) or says(vendor_phrases.TOO_LONG)
    metadata = error.get("metadata")
    flagged = isinstance(metadata, dict) and bool(metadata.get("reasons"))
    withheld = (
        not vendor_codes.WITHHELD.isdisjoint(known)
        or (status == httpx2.codes.FORBIDDEN and flagged)
        or says(vendor_phrases.WITHHELD)
    )
    large = None
    if not too_long and vendor_codes.NO_QUOTA.isdisjoint(known):
        large = too_large(status, words, messages, error.get("details"), headers, call)
    return ProviderRefusal(
        status=status,
        words=words,
        own=own,
        too_long=too_long,
        too_large=large,
        withheld=withheld and not too_long,
        after=_after(error, headers),
        begun=begun,
        account=_account(says),
        over=rate_limits.over(headers, words, messages) if status == 429 else None,
    )


def _account(
    says: Callable[[re.Pattern[str]], bool],
) -> Literal["quota", "unauthorized", "not_found"] | None:
    if says(vendor_phrases.NO_QUOTA):
        return "quota"
    if says(vendor_phrases.UNAUTHORIZED):
        return "unauthorized"
    return "not_found" if says(vendor_phrases.NO_MODEL) else None


def _status(error: Mapping[str, Any]) -> int | None:
    """The status that an error inside a 200 names by number or by word."""
    for key in ("code", "status", "status_code"):
        told = error.get(key)
        if isinstance(told, str) and told.isdecimal() and len(told) == 3:
            told = int(told)
        if isinstance(told, int) and not isinstance(told, bool) and 400 <= told < 600:
            return told
    words = [word.lower() for word in _words(error)]
    known = (vendor_codes.STATUS_OF[word] for word in words if word in vendor_codes.STATUS_OF)
    if not vendor_codes.TOO_LONG.isdisjoint(words) or not vendor_codes.WITHHELD.isdisjoint(words):
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


def _quotable(call: Call) -> Iterator[str]:
    """All that an error may quote of the request."""
    yield from (call.system, call.prefix, call.question)
    if call.schema is not None:
        yield json.dumps(call.schema, ensure_ascii=False)


def _messages(error: Mapping[str, Any]) -> Iterator[str]:
    """What the error says in words, its own and the one it wraps, to look for known phrases in;
    never kept.
    """
    if isinstance(said := error.get("message"), str):
        yield said[:_MOST_READ]
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, str):
        try:
            raw = json.loads(raw[:_MOST_READ])
        except (ValueError, RecursionError):
            yield raw[:_MOST_READ]
            return
    inner = _error(raw, alone=True) or raw
    if isinstance(inner, dict) and isinstance(said := inner.get("message"), str):
        yield said[:_MOST_READ]
