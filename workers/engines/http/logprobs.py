"""The log-probabilities of an answer's tokens, as chat completions carry them."""

import math
from collections.abc import Mapping
from typing import Any

from tierqueue.router.outcome import Token

MOST_TOKENS = 200_000
"""Tokens of an answer that are read; no model writes more."""

MOST_OTHERS = 32
"""Alternatives of a token that are read; 20 are asked for at the most."""


def read(choice: Mapping[str, Any]) -> tuple[Token, ...]:
    """The tokens of a ``choice``; none where they are not given, or one of them is none.

    vLLM, SGLang and llama.cpp write what is impossible as -9999 or less.
    """
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, dict) else None
    if not isinstance(content, list) or len(content) > MOST_TOKENS:
        return ()
    tokens = [_token(part) for part in content]
    return tuple(token for token in tokens if token is not None) if None not in tokens else ()


def _token(part: Any) -> Token | None:
    own = _piece(part)
    if own is None:
        return None
    shown = part.get("top_logprobs")
    top = [_piece(other) for other in shown[:MOST_OTHERS]] if isinstance(shown, list) else []
    known = [other for other in top if other is not None]
    if len(known) < len(top):
        return None
    least = min((probability for _, probability in known), default=1.0 - own[1])
    others = tuple(other for other in known if other[0] != own[0])
    return Token(own[0], own[1], others, max(0.0, least))


def _piece(part: Any) -> tuple[bytes, float] | None:
    """The text of a token and its probability."""
    if not isinstance(part, dict):
        return None
    logprob, text, raw = part.get("logprob"), part.get("token"), part.get("bytes")
    if not isinstance(logprob, int | float) or isinstance(logprob, bool) or math.isnan(logprob):
        return None
    if isinstance(raw, list):
        try:
            return bytes(raw), math.exp(min(0.0, logprob))
        except (TypeError, ValueError):
            return None
    if not isinstance(text, str):
        return None
    return text.encode("utf-8", "surrogatepass"), math.exp(min(0.0, logprob))
