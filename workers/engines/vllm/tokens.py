"""An answer of vLLM's as text, and its tokens with their probabilities.

vLLM would spell out each alternative of each token itself; those worth reading are a few.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

from tierqueue.router.outcome import Token

WORTH_READING = 1e-4
"""Alternatives with a smaller probability are not spelled out."""

_CONTEXT = 4
"""Tokens that go before one so that it is spelled rightly: a character has four bytes at most."""

_HALF = "\ufffd"
"""What stands for a character of which bytes are missing."""


def read(
    tokenizer: Any, ids: Sequence[int], steps: Sequence[Any], alternatives: int
) -> tuple[str, tuple[Token, ...]]:
    """The text of ``ids`` and their tokens; ``steps`` are vLLM's ``LogprobsLists`` of them, with at
    least so many ``alternatives`` of each token.

    vLLM 0.32 computes them after the grammar's mask: what the grammar forbids has probability 0.
    Of a model whose sums overflow they are no numbers, and then no token is told.
    """
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    if not steps:
        return text, ()
    shown, shares = _rows(steps, alternatives + 1)
    if math.isnan(math.fsum(map(math.fsum, shares))):
        return text, ()
    bytes_of = byte_table(tokenizer)
    texts = [] if bytes_of is None else [bytes_of(token_id) for token_id in ids]
    if bytes_of is None or b"".join(texts).decode(errors="replace") != text:
        in_context = partial(_in_context, tokenizer, list(ids))
        texts = [in_context(at, token_id) for at, token_id in enumerate(ids)]
        return text, tuple(_tokens(texts, shown, shares, in_context))
    return text, tuple(_tokens(texts, shown, shares, lambda _, token_id: bytes_of(token_id)))


def _rows(steps: Sequence[Any], width: int) -> tuple[list[list[int]], list[list[float]]]:
    """A row for each token: what was shown in its place, itself first, and their probabilities.

    A step shows of each call as many as the call of its batch that asks for the most.
    """
    import numpy as np

    shown = np.concatenate([step.logprob_token_ids[:, :width] for step in steps])
    logprobs = np.concatenate([step.logprobs[:, :width] for step in steps])
    shares = np.exp(np.minimum(logprobs.astype(float), 0.0))
    return shown.tolist(), shares.tolist()


@lru_cache(maxsize=8)
def byte_table(tokenizer: Any) -> Callable[[int], bytes] | None:
    """What each token of a byte-level tokenizer writes, by its id; ``None`` for any other.

    Reading 32 tokens took 79 us by it, and 519 us where each was decoded among its neighbours.
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or type(backend.decoder).__name__ != "ByteLevel":
        return None
    unseen = frozenset(tokenizer.all_special_ids)
    added: dict[int, bytes] = {
        token_id: token.content.encode()
        for token_id, token in tokenizer.added_tokens_decoder.items()
    }

    @lru_cache(maxsize=65_536)
    def bytes_of(token_id: int) -> bytes:
        if token_id in unseen:
            return b""
        if token_id in added:
            return added[token_id]
        piece = backend.id_to_token(token_id)
        return b"" if piece is None else bytes(_BYTES.get(letter, 0x3F) for letter in piece)

    return bytes_of


def _tokens(
    texts: Sequence[bytes],
    shown: Sequence[Sequence[int]],
    shares: Sequence[Sequence[float]],
    spelled: Callable[[int, int], bytes],
) -> Iterator[Token]:
    """The tokens; ``spelled`` says what a token at a place of the answer writes."""
    for at, (text, row, shares_of) in enumerate(zip(texts, shown, shares, strict=False)):
        probability = shares_of[0]
        if len(row) == 1:
            yield Token(text, probability, (), 1.0 - probability)
            continue
        others = dict(zip(row, shares_of, strict=True))
        del others[row[0]]
        least = min(others.values(), default=1.0 - probability)
        unread = [share for share in others.values() if share < WORTH_READING]
        worth_reading = tuple(
            (spelled(at, other), share) for other, share in others.items() if share >= WORTH_READING
        )
        yield Token(text, probability, worth_reading, max([least, *unread]))


def _in_context(tokenizer: Any, ids: list[int], at: int, token_id: int) -> bytes:
    """What the token adds to the whole characters of the tokens before it."""
    context = ids[max(0, at - _CONTEXT) : at]
    clean: str = tokenizer.decode(context, skip_special_tokens=True).rstrip(_HALF)
    text: str = tokenizer.decode([*context, token_id], skip_special_tokens=True)
    return text[len(clean) :].rstrip(_HALF).encode() if text.startswith(clean) else b""


def _byte_letters() -> dict[str, int]:
    """The byte for which each letter of a byte-level vocabulary stands (GPT-2's mapping).

    Printable bytes of Latin-1 stand for themselves, the others in order from U+0100.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(rest)
    }


_BYTES = _byte_letters()
