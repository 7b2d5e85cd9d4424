"""A model's confidence in its answer, 0 to 1, by the probabilities of its tokens.

A number that a model writes of itself is no measure; what it nearly wrote instead is one.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from tierqueue.router.outcome import Token
from tierqueue.tasks.answers import form

ALTERNATIVES = 20
"""How many alternatives of each token are asked for; OpenAI and vLLM give no more."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The labels of a model whose whole answer is one of them: ``{"label": "…"}``.

    ``closed`` are the labels as they stand in JSON, with the quote that ends them, sorted.
    """

    field: str
    opening: re.Pattern[bytes]
    closed: tuple[bytes, ...]

    def leads_to(self, written: bytes) -> tuple[int, int]:
        """The labels (a range of ``closed``) that ``written`` may become or has become."""
        quote = written.find(b'"', 1)
        while quote > 0 and _escaped(written, quote):
            quote = written.find(b'"', quote + 1)
        if quote >= 0:
            whole = written[: quote + 1]
            at = bisect_left(self.closed, whole)
            found = at < len(self.closed) and self.closed[at] == whole
            return (at, at + 1) if found else (0, 0)
        return bisect_left(self.closed, written), bisect_right(self.closed, written + b"\xff")


def asked_for(model: type[BaseModel] | None) -> int:
    """How many alternatives of each token the confidence in a ``model`` needs."""
    return 0 if model is None or choice_of(model) is None else ALTERNATIVES


def confidence(model: type[BaseModel] | None, answer: str, tokens: Sequence[Token]) -> float | None:
    """The confidence in an ``answer``, which stands somewhere in the ``tokens``; ``None`` where
    they do not tell.

    Where the whole answer is one of several labels: the probability of the chosen one less that of
    the next best, of the labels alone. Anything else: the probability of the least probable token,
    since one wrong token makes a wrong answer; sums and means grow or fade with the length (Gupta
    et al., "Language Model Cascades: Token-level Uncertainty and Beyond", ICLR 2024).
    """
    written, told = b"".join(token.text for token in tokens), answer.strip().encode()
    begin = written.rfind(told) if told else -1
    if begin < 0:
        return None
    choice = None if model is None else choice_of(model)
    if choice is None:
        return min(_of_those_within(tokens, begin, begin + len(told)))
    opened = choice.opening.match(told)
    if opened is None:
        return None
    return _margin(choice, _encoded(json.loads(told)[choice.field]), begin + opened.end(), tokens)


@lru_cache(maxsize=1024)
def choice_of(model: type[BaseModel]) -> Choice | None:
    """The labels, where the answer is an object whose one field is one of several texts."""
    schema = form.schema_of(model)
    fields = schema.get("properties", {})
    if len(fields) != 1:
        return None
    ((name, field),) = fields.items()
    if "$ref" in field:
        field = schema.get("$defs", {}).get(field["$ref"].removeprefix("#/$defs/"), {})
    labels = field.get("enum", [])
    if len(labels) < 2 or not all(isinstance(label, str) for label in labels):
        return None
    opening = rb"\{\s*" + re.escape(json.dumps(name, ensure_ascii=False).encode()) + rb'\s*:\s*"'
    return Choice(name, re.compile(opening), tuple(sorted(set(map(_encoded, labels)))))


def _margin(choice: Choice, chosen: bytes, begin: int, tokens: Sequence[Token]) -> float | None:
    """The margin of the label ``chosen``, which begins at the byte ``begin`` of all tokens.

    Where the labels part, the probabilities of the tokens that lead to one are brought to 1. What
    is not among the alternatives counts for the next best with all that it can have.
    """
    index = bisect_left(choice.closed, chosen)
    if index == len(choice.closed) or choice.closed[index] != chosen:
        return None
    reached, next_best, said = 1.0, 0.0, b""
    for at, token in _placed(tokens):
        if at + len(token.text) <= begin:
            continue
        before, lead = choice.leads_to(said), token.text[: max(0, begin - at)]
        if before[1] - before[0] < 2:
            break
        own = choice.leads_to(said + token.text[len(lead) :])
        if not own[0] <= index < own[1]:
            return None
        if own != before:
            rivals, shown, towards = _rivals(choice, said, lead, token, own, index)
            hidden = min(token.hidden, max(0.0, 1.0 - shown))
            whole = towards + max(hidden, sum(rivals))
            if whole <= 0:
                return 0.0
            next_best = max(next_best, reached * max([hidden, *rivals]) / whole)
            reached *= towards / whole
        said += token.text[len(lead) :]
    return max(0.0, min(1.0, reached - next_best))


def _rivals(
    choice: Choice, said: bytes, lead: bytes, token: Token, own: tuple[int, int], index: int
) -> tuple[list[float], float, float]:
    """The probability of each group of other labels, of all that is shown, and of ``own``."""
    groups: dict[tuple[int, int], float] = {}
    shown = towards = token.probability
    for text, probability in token.others:
        shown += probability
        if not text.startswith(lead):
            continue
        to = choice.leads_to(said + text[len(lead) :])
        if to == own:
            towards += probability
        # What may still become the chosen label or another tells nothing.
        elif to[0] < to[1] and not to[0] <= index < to[1]:
            groups[to] = groups.get(to, 0.0) + probability
    # Of two spellings of the same start one leads to a part of the other's labels.
    outer = [to for to in groups if not any(_within(to, other) for other in groups if other != to)]
    sums = [sum(share for to, share in groups.items() if _within(to, one)) for one in outer]
    return sums, shown, towards


def _within(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _placed(tokens: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    """Each token with the byte at which it begins."""
    at = 0
    for token in tokens:
        yield at, token
        at += len(token.text)


def _of_those_within(tokens: Sequence[Token], begin: int, end: int) -> list[float]:
    """The probabilities of the tokens that wrote any of these bytes."""
    found, at = [], 0
    for text, probability, *_ in tokens:
        past = at + len(text)
        if at < end and begin < past:
            found.append(probability)
        at = past
    return found


def _encoded(label: Any) -> bytes:
    return json.dumps(label, ensure_ascii=False)[1:].encode()


def _escaped(text: bytes, at: int) -> bool:
    before = text[:at]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1
