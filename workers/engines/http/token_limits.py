"""One request that is itself above what its account may ask for at once: no waiting cures it.

Vendors answer it as they answer a throttle, which it is not: nobody else has to wait for it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.http.bills import MOST_TOKENS

_NUMBER = r"~?(\d[\d,]{0,14})"
_REQUESTED = re.compile(
    r"(?:request too large|rate limit reached) for .{1,400}?: "
    rf"limit {_NUMBER}(?:, used {_NUMBER})?, requested {_NUMBER}",
    re.DOTALL,
)
"""OpenAI with a 429, Groq with a 413: "Request too large for m on tokens per minute (TPM): Limit
6000, Requested 12328". Both write "Rate limit reached …, Used 5034, Requested 1443" of a throttle.
"""

_WOULD_EXCEED = re.compile(
    r"this request would exceed .{1,160}?rate limit.{0,160}? of "
    rf"{_NUMBER} (input |output |)tokens per minute"
)
"""Anthropic with a 429, of a throttle and of a request above the limit alike."""

_OF_TOKENS = re.compile(
    r"tokens per minute limit exceeded|requests to the .{1,300}? have exceeded token rate limit"
)
"""Cerebras and Azure."""

_TOKEN_CODES = frozenset({"tokens", "too_many_tokens_error", "token_quota_exceeded"})
"""OpenAI, Groq and Cerebras say with these types and codes that tokens are what is short."""

_HEADERS = (
    ("anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining"),
    ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"),
    ("x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"),
)
"""What a minute holds and what is left of it: Anthropic; OpenAI, Azure, Groq and others; Cerebras.
"""

_LONGEST_TOKENS = 8
"""Bytes that are not blank, by which the fewest tokens of a long text are counted: twice what
English has on average, and more than any language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OversizedRequest:
    """What one request asks for and what the account may at once, in tokens; ``None``: not told."""

    asked: int | None = None
    limit: int | None = None

    def message(self) -> str:
        """The same in words."""
        if self.limit is None:
            return "one request is larger than the provider takes"
        asked = "more" if self.asked is None else f"{self.asked} tokens, more"
        return f"one request asks for {asked} than the account's limit of {self.limit} tokens"


def too_large(
    status: int,
    words: Iterable[str],
    messages: Iterable[str],
    details: Any,
    headers: Mapping[str, str],
    call: Call,
) -> OversizedRequest | None:
    """Whether the error is of this one request's size, and not of how much is asked by everybody.

    Where the error does not say how much was asked, it is if the headers show that the whole limit
    was left, or if the request has more tokens than that at the very least. ``words``, ``messages``
    and ``details`` are the error's codes, texts and ``details``.
    """
    said = [message.lower().lstrip() for message in messages]
    for message in said:
        if found := _REQUESTED.match(message):
            limit, asked = _count(found[1]), _count(found[3])
            if limit is not None and asked is not None and asked > limit:
                return OversizedRequest(asked=asked, limit=limit)
    if status == 413:
        return OversizedRequest()
    if status != 429:
        return None
    limit, untouched = _google(details), _untouched(headers)
    for message in said:
        if found := _WOULD_EXCEED.match(message):
            limit = _count(found[1])
            if found[2] == "output ":
                over = limit is not None and call.output_limit > limit
                return OversizedRequest(asked=call.output_limit, limit=limit) if over else None
    of_tokens = not _TOKEN_CODES.isdisjoint(word.lower() for word in words)
    if limit is None and (of_tokens or any(map(_OF_TOKENS.match, said))):
        limit = untouched
    if limit and (limit == untouched or _fewest(call) > limit):
        return OversizedRequest(limit=limit)
    return None


def _untouched(headers: Mapping[str, str]) -> int | None:
    """The limit, in tokens, of which the headers say that nothing is used."""
    for limit_of, left_of in _HEADERS:
        limit, left = _count(headers.get(limit_of)), _count(headers.get(left_of))
        if limit and left is not None and left >= limit:
            return limit
    return None


def _google(details: Any) -> int | None:
    """The limit in tokens that Google's ``QuotaFailure`` names, where it is of input tokens."""
    for detail in details if isinstance(details, list) else []:
        violations = detail.get("violations") if isinstance(detail, dict) else None
        for violation in violations if isinstance(violations, list) else []:
            named = (
                isinstance(violation, dict) and "InputTokens" in str(violation.get("quotaId"))[:200]
            )
            if named and (limit := _count(violation.get("quotaValue"))):
                return limit
    return None


def _fewest(call: Call) -> int:
    """The tokens that a call has at the least."""
    texts = (call.system, call.prefix, call.question)
    return sum(len("".join(text.split()).encode()) for text in texts) // _LONGEST_TOKENS


def _count(told: Any) -> int | None:
    """A count as vendors write it; ``None`` for what is none, or beyond any."""
    digits = str(told).replace(",", "") if isinstance(told, str) else ""
    if not digits.isdecimal() or len(digits) > 15:
        return None
    return int(digits) if int(digits) <= 10_000 * MOST_TOKENS else None
