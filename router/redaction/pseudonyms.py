"""Pseudonyms: what stands for what was taken out of a request, and is put back in its answer."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tierqueue.router.redaction.rules import Redaction, Span, matches, merged


class Leaking(Exception):
    """Something would be sent that the rules find; the message names the rule, never what it is."""


class Pseudonyms:
    """Those of one request, numbered as they come: the same request has the same ones always, and a
    part that many requests begin with stays the same in all of them.
    """

    def __init__(self, rules: Redaction) -> None:
        self._rules = rules
        self._form = _form(rules.names)
        self._of: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    @property
    def originals(self) -> dict[str, str]:
        """What each pseudonym stands for."""
        return {pseudonym: original for original, pseudonym in self._of.items()}

    def hide(self, text: str) -> str:
        """``text`` under pseudonyms. Raises ``Leaking``."""
        # What looks like a pseudonym of ours would be taken for one in the answer.
        looks: list[Span] = [
            (*match.span(), "TEXT") for match in _alike(self._rules.names).finditer(text)
        ]
        spans = [*matches(self._rules, text), *looks]
        # Where it is glued to something else a rule may not see it.
        known = sorted({text[start:end] for start, end, _ in spans}, key=len, reverse=True)
        if known:
            again = re.compile("|".join(map(re.escape, known)))
            spans += [(*match.span(), "TEXT") for match in again.finditer(text)]
        parts, at = [], 0
        for start, end, name in merged(spans):
            parts += [text[at:start], self._pseudonym(text[start:end], name)]
            at = end
        hidden = "".join([*parts, text[at:]])
        for piece in self._form.split(hidden):
            if left := matches(self._rules, piece):
                raise Leaking(f"the rule {left[0][2].lower()} finds more once others were hidden")
        return hidden

    def hide_all(self, value: Any) -> Any:
        """The same of every text and name in a JSON value. Raises ``Leaking``."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {self.hide(name): self.hide_all(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_all(part) for part in value]
        return value

    def _pseudonym(self, original: str, name: str) -> str:
        known = self._of.get(original)
        if known is None:
            number = self._numbers[name] = self._numbers.get(name, 0) + 1
            known = self._of[original] = f"[{name}_{number}]"
        return known


def put_back(
    text: str, originals: Mapping[str, str], names: tuple[str, ...], *, as_json: bool
) -> tuple[str, str | None]:
    """An answer with what its pseudonyms stand for, inside JSON's strings where it is ``as_json``;
    and what is wrong with it, where one stands for nothing or is cut in half.
    """
    wrong: list[str] = []

    def original(match: re.Match[str]) -> str:
        said = match[0] if match[0].startswith("[") else f"[{match[0]}]"
        if said not in originals:
            wrong.append("it names a pseudonym that stands for nothing")
            return match[0]
        found = originals[said]
        return json.dumps(found, ensure_ascii=False)[1:-1] if as_json else found

    if _half(names).search(text):
        wrong.append("it holds a pseudonym that is cut in half")
    restored = _form(names).sub(original, text)
    return restored, wrong[0] if wrong else None


@lru_cache(maxsize=256)
def _form(names: tuple[str, ...]) -> re.Pattern[str]:
    """Pseudonyms as they are sent, and without their brackets, as models like to repeat them."""
    one = "|".join(map(re.escape, names))
    return re.compile(rf"\[(?:{one})_\d+\]|(?<!\w)(?:{one})_\d+(?!\w)")


@lru_cache(maxsize=256)
def _alike(names: tuple[str, ...]) -> re.Pattern[str]:
    """What could be read as one, once what stands before and after it is another."""
    one = "|".join(map(re.escape, names))
    return re.compile(rf"\[(?:{one})_\d*\]?|(?:{one})_\d+\]?")


@lru_cache(maxsize=256)
def _half(names: tuple[str, ...]) -> re.Pattern[str]:
    one = "|".join(map(re.escape, names))
    return re.compile(rf"\[(?:{one})_(?:\d+(?![\d\]])|(?![\w]))")
