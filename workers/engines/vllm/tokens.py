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


def read(tokenizer: Any, ids: Sequence[int], logprobs: Any) -> tuple[str, tuple[Token, ...]]:
    """The text of ``ids`` and their tokens; ``logprobs`` are vLLM's ``FlatLogprobs`` of them.

    vLLM 0.32 computes them after the grammar's mask: what the grammar forbids has probability 0.
    """
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    bytes_of = byte_table(tokenizer)
    if bytes_of is None or b"".join(map(bytes_of, ids)).decode(errors="replace") != text:
        return text, tuple(_tokens(list(ids), logprobs, partial(_in_context, tokenizer, list(ids))))
    return text, tuple(_tokens(list(ids), logprobs, lambda _, token_id: bytes_of(token_id)))


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


def _tokens(ids: list[int], logprobs: Any, spelled: Callable[[int, int], bytes]) -> Iterator[Token]:
    """The tokens; ``spelled`` says what a token at a place of the answer writes."""
    for at, own in enumerate(ids):
        begin, end = logprobs.start_indices[at], logprobs.end_indices[at]
        shown = {
            token_id: math.exp(min(0.0, logprob))
            for token_id, logprob in zip(
                logprobs.token_ids[begin:end], logprobs.logprobs[begin:end], strict=True
            )
        }
        probability = shown.pop(own)
        others = tuple(
            (spelled(at, other), share) for other, share in shown.items() if share >= WORTH_READING
        )
        unread = [share for share in shown.values() if share < WORTH_READING]
        least = min(shown.values(), default=1.0 - probability)
        hidden = max(least, *unread) if unread else least
        yield Token(spelled(at, own), probability, others, hidden)


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
