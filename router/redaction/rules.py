"""Rules of redaction: kinds of personal data, and patterns that the policy states."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["email", "phone", "iban", "card", "ip"]

KINDS: tuple[Kind, ...] = ("email", "phone", "iban", "card", "ip")

_NAME = re.compile(r"[a-z][a-z0-9]{0,30}")
_OURS = frozenset({*KINDS, "text"})


class Redaction(BaseModel):
    """What leaves under a pseudonym where a deployment is called, and comes back in its answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: tuple[Kind, ...] = KINDS
    """Personal data that is found by its form: e-mail addresses, telephone numbers, IBANs and card
    numbers whose check digits are right, IP addresses."""

    patterns: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """Regular expressions of your own, by the name that stands in their pseudonyms: lower-case
    letters and digits."""

    @model_validator(mode="after")
    def _can_run(self) -> Self:
        if not self.kinds and not self.patterns:
            raise ValueError("kinds and patterns are both empty: nothing would be redacted")
        for name, pattern in self.patterns.items():
            if not _NAME.fullmatch(name) or name in _OURS:
                raise ValueError(
                    f"patterns.{name}: a name has lower-case letters and digits, and is none of"
                    f" {', '.join(sorted(_OURS))}"
                )
            try:
                empty = re.compile(pattern).search("")
            except (re.error, OverflowError, RecursionError) as wrong:
                raise ValueError(f"patterns.{name} is no regular expression: {wrong}") from None
            if empty is not None:
                raise ValueError(f"patterns.{name} matches the empty text")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What its pseudonyms are called; ``TEXT`` stands for what looked like one before."""
        return ("TEXT", *(name.upper() for name in (*self.kinds, *self.patterns)))

    def __hash__(self) -> int:
        return hash((self.kinds, tuple(sorted(self.patterns.items()))))


Span = tuple[int, int, str]
"""Where something was found, from and to, and its name."""


def matches(rules: Redaction, text: str) -> list[Span]:
    """Everything in ``text`` that the rules find, in its order; what overlaps is one find."""
    spans: list[Span] = []
    for kind in rules.kinds:
        spans += [(start, end, kind.upper()) for start, end in _BY_FORM[kind](text)]
    for name, pattern in rules.patterns.items():
        spans += [
            (*match.span(), name.upper())
            for match in _compiled(pattern).finditer(text)
            if match.end() > match.start()
        ]
    return merged(spans)


def merged(spans: list[Span]) -> list[Span]:
    """What overlaps is one, called as its first."""
    apart: list[Span] = []
    for start, end, name in sorted(spans, key=lambda span: (span[0], -span[1], span[2] == "TEXT")):
        if apart and start < apart[-1][1]:
            first = apart[-1]
            apart[-1] = (first[0], max(end, first[1]), first[2])
        else:
            apart.append((start, end, name))
    return apart


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


# Possessive, so that a long run of letters costs one pass.
_EMAIL = re.compile(r"(?<![\w.+%'&/=-])[\w.+%'&/=-]++@[\w-]++(?:\.[\w-]++)++")
_PHONE = re.compile(
    r"(?<![\w+])(?:"
    r"(?:\+|00)[1-9](?:[ ./()-]{0,3}\d){6,14}"
    r"|(?:\(0\d{1,5}\)|0\d{1,5})(?:[ /.-]{1,2}\d{2,8}){1,4}"
    r"|0\d{8,13}"
    r"|(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"
    r")(?!\w)"
)
_IBAN = re.compile(r"[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?")
_IBAN_FROM = re.compile(r"(?<!\w)(?=[A-Za-z]{2}\d{2})")
_CARD = re.compile(r"\d{13,19}|\d{4}(?:[ -]?\d{2,6}){2,4}")
_CARD_FROM = re.compile(r"(?<!\w)(?=\d{4})")
_IP4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
_COLONS = re.compile(r"[\w:.]++")
_MOST_OF_AN_ADDRESS = 45
_OF_AN_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]*:){0,8}[0-9A-Fa-f.]*")


def _plain(pattern: re.Pattern[str]) -> Callable[[str], Iterator[tuple[int, int]]]:
    return lambda text: (match.span() for match in pattern.finditer(text))


def _checked(
    begins: re.Pattern[str], body: re.Pattern[str], ends: Callable[[str], Iterator[int]]
) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Finds the longest of what ``begins`` somewhere, has that ``body`` and ends with a word, where
    ``ends`` says after how many characters of it the check digits are right.
    """

    def spans(text: str) -> Iterator[tuple[int, int]]:
        for begin in begins.finditer(text):
            run = body.match(text, begin.start())
            if run is None:
                continue
            whole = (run.start() + length for length in ends(run[0]))
            longest = max((end for end in whole if not _in_word(text, end)), default=None)
            if longest is not None:
                yield run.start(), longest

    return spans


def _in_word(text: str, at: int) -> bool:
    return text[at : at + 1].isalnum() or text[at : at + 1] == "_"


def _iban_ends(run: str) -> Iterator[int]:
    """By ISO 7064's remainder of 97, with the country and its check digits moved to the end."""
    head = int(run[0], 36) * 10_000 + int(run[1], 36) * 100 + int(run[2:4])
    remainder, count = 0, 4
    for length, letter in enumerate(run[4:], start=5):
        if letter in " -":
            continue
        # A letter stands for two digits.
        remainder = (remainder * (10 if letter.isdigit() else 100) + int(letter, 36)) % 97
        count += 1
        if count > 14 and (remainder * 1_000_000 + head) % 97 == 1:
            yield length


def _card_ends(run: str) -> Iterator[int]:
    """By Luhn: every second digit from the last is doubled, and the sum of digits is whole tens."""
    odd, even, seen = 0, 0, set[int]()
    count = 0
    for length, letter in enumerate(run, start=1):
        if letter in " -":
            continue
        digit = int(letter)
        # As the last digit it is not doubled, and the one before it is.
        odd, even = even + digit, odd + digit * 2 - 9 * (digit > 4)
        seen.add(digit)
        count += 1
        if count > 12 and len(seen) > 1 and odd % 10 == 0:
            yield length


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for match in _IP4.finditer(text):
        if _is_address(match[0]):
            yield match.span()
    for run in _COLONS.finditer(text):
        if run[0].count(":") > 1:
            yield from _in_colons(text, *run.span())


def _in_colons(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The longest addresses in a run of words, colons and dots, each after a colon or first."""
    begins = [start, *(at + 1 for at in range(start, end) if text[at] == ":")]
    after = start
    for begin in begins:
        if begin < after or text.startswith(":::", begin):
            continue
        # Of nothing that goes on past these an address can be made.
        part = _OF_AN_ADDRESS.match(text, begin, min(end, begin + _MOST_OF_AN_ADDRESS))
        last = begin if part is None else part.end()
        for stop in range(last, begin + 2, -1):
            ends = stop == end or text[stop] in ":."
            if ends and text.count(":", begin, stop) > 1 and _is_address(text[begin:stop]):
                yield begin, stop
                after = stop
                break


def _is_address(said: str) -> bool:
    try:
        ip_address(said)
    except ValueError:
        return False
    return True


_BY_FORM: dict[Kind, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _plain(_EMAIL),
    "phone": _plain(_PHONE),
    "iban": _checked(_IBAN_FROM, _IBAN, _iban_ends),
    "card": _checked(_CARD_FROM, _CARD, _card_ends),
    "ip": _addresses,
}
