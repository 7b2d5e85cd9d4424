"""The matching of a rule: texts in which a phrase stands, or those that a table lists.

A text is the same in capitals, with other spaces, and whichever way its accents are written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from unicodedata import category, normalize

_OF_A_WORD = frozenset("#%&@")
"""Marks that say something with the word beside them."""


def key_of(text: str) -> str:
    """A text as tables are looked up by it."""
    return " ".join(normalize("NFC", normalize("NFC", text).casefold()).split())


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, without the marks around them."""
    return tuple(bare for word in key_of(text).split() if (bare := _bare(word)))


def _bare(word: str) -> str:
    begin, end = 0, len(word)
    while begin < end and _around(word[begin]):
        begin += 1
    while begin < end and _around(word[end - 1]):
        end -= 1
    return word[begin:end]


def _around(char: str) -> bool:
    return category(char).startswith("P") and char not in _OF_A_WORD


@dataclass(frozen=True, slots=True)
class AnswerTable:
    """A table: the answer of each text, by its key."""

    answers: Mapping[str, str]

    def answer(self, text: str) -> str | None:
        """What is listed for the text; ``None`` where it is not."""
        return self.answers.get(key_of(text))


class Phrases:
    """Phrases, each with the answer to a text in which its words stand one after the other."""

    def __init__(self, answers: Mapping[tuple[str, ...], str]) -> None:
        self._answers = answers
        self._lengths = sorted({len(words) for words in answers})

    def answer(self, text: str) -> str | None:
        """The one answer that its phrases have; ``None`` where there is none, or another too."""
        words, found = words_of(text), set[str]()
        for begin in range(len(words)):
            for length in self._lengths:
                there = self._answers.get(words[begin : begin + length])
                if there is not None:
                    found.add(there)
            if len(found) > 1:
                return None
        return next(iter(found), None)
