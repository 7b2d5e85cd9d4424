"""An answer of vLLM's as text, and its tokens with their probabilities.

vLLM would spell out each alternative of each token itself; those worth reading are a few.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tierqueue.router.outcome import Token

WORTH_READING = 1e-4
"""Alternatives with a smaller probability are not spelled out."""

_CONTEXT = 4
"""Tokens that go before one so that it is spelled rightly: a character has four bytes at most."""

_HALF = "\ufffd"
"""What stands for a character of which bytes are missing."""


def read(tokenizer: Any, ids: Sequence[int], logprobs: Any) -> tuple[str, tuple[Token, ...]]:
    """The text of ``ids`` and their tokens; ``logprobs`` are vLLM's ``FlatLogprobs`` of them.

    vLLM 0.32 computes them after the grammar's mask: what the grammar forbids has probability 0.
    """
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return text, tuple(_tokens(tokenizer, list(ids), logprobs))


def _tokens(tokenizer: Any, ids: list[int], logprobs: Any) -> Iterator[Token]:
    for at, own in enumerate(ids):
        context = ids[max(0, at - _CONTEXT) : at]
        begin, end = logprobs.start_indices[at], logprobs.end_indices[at]
        shown = {
            token_id: math.exp(min(0.0, logprob))
            for token_id, logprob in zip(
                logprobs.token_ids[begin:end], logprobs.logprobs[begin:end], strict=True
            )
        }
        probability = shown.pop(own)
        clean = tokenizer.decode(context, skip_special_tokens=True).rstrip(_HALF)
        others = tuple(
            (_spelled(tokenizer, context, clean, other), share)
            for other, share in shown.items()
            if share >= WORTH_READING
        )
        unread = [share for share in shown.values() if share < WORTH_READING]
        least = min(shown.values(), default=1.0 - probability)
        hidden = max(least, *unread) if unread else least
        yield Token(_spelled(tokenizer, context, clean, own), probability, others, hidden)


def _spelled(tokenizer: Any, context: list[int], clean: str, token_id: int) -> bytes:
    """What the token adds to ``clean``, the whole characters of the tokens before it."""
    text: str = tokenizer.decode([*context, token_id], skip_special_tokens=True)
    return text[len(clean) :].rstrip(_HALF).encode() if text.startswith(clean) else b""
