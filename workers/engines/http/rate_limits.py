"""Limits per minute as a provider's reply states them, and the one that an error is about."""

import re
from collections.abc import Iterable, Mapping

from tierqueue.router.outcome import DIMENSIONS, Dimension, PerMinute

MOST = 10**12
"""The largest number a minute that is believed; above it, nothing is said."""

LOW = 0.2
"""The share that is left of a limit of which a throttle may be."""

_MINUTE_SECONDS = 75.0
"""Seconds that a limit per minute takes to be whole again, at the most."""

_HEADERS: dict[Dimension, tuple[tuple[str, str], ...]] = {
    "requests": (
        ("anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"),
        ("x-ratelimit-limit-requests-minute", "x-ratelimit-remaining-requests-minute"),
        ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"),
    ),
    "tokens": (
        ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining"),
        ("x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"),
        ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"),
    ),
    "input_tokens": (
        ("anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining"),
    ),
    "output_tokens": (
        ("anthropic-ratelimit-output-tokens-limit", "anthropic-ratelimit-output-tokens-remaining"),
    ),
}
"""A limit and what is left of it: Anthropic; Cerebras; OpenAI, Azure, Groq, Mistral and others."""

_LONGER = {"x-ratelimit-limit-requests": "x-ratelimit-reset-requests"}
"""Which header says that a limit may be of a day: Groq's requests are."""

_COUNT = re.compile(r"[0-9]{1,16}")
_DURATION = re.compile(
    r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m(?!s))?(?:([0-9.]{1,12})s?)?"
)

_OF = re.compile(
    r"(input |output |prompt |completion |)tokens? (?:per min|rate)"
    r"|requests per min|call rate limit"
)
"""OpenAI's and Anthropic's messages, and Azure's "exceeded token rate limit"."""

_CODES: dict[str, Dimension] = {
    "tokens": "tokens",
    "too_many_tokens_error": "tokens",
    "token_quota_exceeded": "tokens",
    "requests": "requests",
    "request_quota_exceeded": "requests",
}
_KINDS: dict[str, Dimension] = {
    "input ": "input_tokens",
    "prompt ": "input_tokens",
    "output ": "output_tokens",
    "completion ": "output_tokens",
}


def stated_limits(headers: Mapping[str, str]) -> PerMinute | None:
    """The limits per minute that a reply states; ``None`` where it states none.

    What is no whole number from 1 to ``MOST``, or a limit of a longer time, is as if unsaid.
    """
    found = [_limit(headers, dimension)[0] for dimension in DIMENSIONS]
    return PerMinute(*found) if any(limit is not None for limit in found) else None


def over(
    headers: Mapping[str, str], words: Iterable[str], messages: Iterable[str]
) -> Dimension | None:
    """Which limit a throttle is of, by its message, its codes, or what is left of each limit."""
    for message in messages:
        if found := _OF.search(message[:4096].lower()):
            if "token" not in found[0]:
                return "requests"
            return _KINDS.get(found[1], "tokens")
    for word in words:
        if (named := _CODES.get(word.lower())) is not None:
            return named
    shares: list[tuple[float, Dimension]] = []
    for dimension in DIMENSIONS:
        limit, left = _limit(headers, dimension)
        if limit is not None and left is not None:
            shares.append((left / limit, dimension))
    least, of = min(shares, default=(1.0, "requests"))
    return of if least <= LOW else None


def _limit(headers: Mapping[str, str], dimension: Dimension) -> tuple[int | None, int | None]:
    for limit_of, left_of in _HEADERS[dimension]:
        limit = _count(headers.get(limit_of))
        if limit is None or limit < 1:
            continue
        reset = headers.get(_LONGER.get(limit_of, ""), "")
        if _seconds(reset) > _MINUTE_SECONDS:
            continue
        return limit, _count(headers.get(left_of))
    return None, None


def _count(said: str | None) -> int | None:
    if said is None or not _COUNT.fullmatch(said.strip()):
        return None
    count = int(said)
    return count if count <= MOST else None


def _seconds(said: str) -> float:
    """A duration such as ``6m0s``, ``1.5s`` or ``12ms``; 0 for what is none."""
    found = _DURATION.fullmatch(said.strip())
    if found is None:
        return 0.0
    try:
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    except ValueError:
        return 0.0
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds
