"""The prompt cache: which prefixes were served lately. In memory; a restart forgets it all.

As the real ones: OpenAI keeps the beginning of every prompt by itself, in steps of 128 tokens, and
bills writing as plain input; Anthropic keeps what the request marks, and bills writing apart.
Neither keeps a prefix under 1,024 tokens, and neither has it for calls that came before the answer
began to the first one that brought it. This makes cached tokens depend on what was served
before, the only part of an answer that does.
"""

import hashlib
from typing import NamedTuple

from sandbox.wires.call import BYTES_PER_TOKEN, Call, Usage, tokens_of

SMALLEST = 1024
OPENAI_STEP = 128
HOUR = 3600
KEPT_AT_MOST = 50_000


class Span(NamedTuple):
    """Since when and until when a prefix is there, in seconds."""

    since: float
    until: float


class PromptCache:
    """Splits a call's input tokens into plain, cached and written ones."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Span] = {}

    def use(self, call: Call, input_tokens: int, came: float, now: float) -> Usage:
        """The input side of the usage of a call that ``came`` then and is answered ``now``, both in
        seconds; remembers its marked prefixes.
        """
        if not call.marks:
            cached = self._begun(call, came, now) if call.api == "openai" else 0
            return Usage(input=input_tokens - cached, cached=cached)
        cached, reached, written, written_1h = 0, 0, 0, 0
        for mark in call.marks:
            prefix = "\n\n".join(call.pieces[: mark.pieces])
            tokens = tokens_of(prefix)
            if tokens < SMALLEST:
                continue
            named = f"{call.api}/{call.model}/{prefix}".encode("utf-8", "surrogatepass")
            key = hashlib.sha256(named).digest()
            if self._has(key, came):
                cached, reached, written, written_1h = tokens, tokens, 0, 0
            else:
                if mark.ttl >= HOUR:
                    written_1h += tokens - reached
                else:
                    written += tokens - reached
                reached = tokens
            self._store(key, now, mark.ttl)
        plain = input_tokens - cached - written - written_1h
        return Usage(input=plain, cached=cached, written=written, written_1h=written_1h)

    def _begun(self, call: Call, came: float, now: float) -> int:
        """The tokens of the prompt that were served before, as far as it begins as another did."""
        whole, cached = call.prompt.encode("utf-8", "surrogatepass"), 0
        digest, step = hashlib.sha256(f"openai/{call.model}/".encode()), OPENAI_STEP
        for tokens in range(step, len(whole) // BYTES_PER_TOKEN + 1, step):
            digest.update(whole[(tokens - step) * BYTES_PER_TOKEN : tokens * BYTES_PER_TOKEN])
            if tokens < SMALLEST:
                continue
            key = digest.digest()
            if self._has(key, came):
                cached = tokens
            self._store(key, now, HOUR)
        return cached

    def _has(self, key: bytes, came: float) -> bool:
        span = self._kept.get(key)
        return span is not None and span.since <= came < span.until

    def _store(self, key: bytes, now: float, ttl: int) -> None:
        if len(self._kept) >= KEPT_AT_MOST:
            self._kept = {kept: span for kept, span in self._kept.items() if span.until > now}
            if len(self._kept) >= KEPT_AT_MOST:
                self._kept.clear()
        before = self._kept.get(key)
        since = before.since if before is not None and before.until > now else now
        self._kept[key] = Span(since, now + ttl)
