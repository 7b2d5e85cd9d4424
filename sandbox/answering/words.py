"""The words of a prompt, and which of several labels they speak for."""

import re
from collections import Counter
from functools import lru_cache

_WORD = re.compile(r"[^\W\d_]+|\d+")
_NUMBER = re.compile(r"(?<![\w.])-?[0-9]{1,15}(?:\.[0-9]{1,9})?(?!\w|\.[0-9])")
_MARKER = re.compile(r"\[\[sandbox:[^\]]*\]\]")
_DATE = re.compile(r"\b[12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])\b")
_EMAIL = re.compile(r"\b[A-Za-z0-9]+@[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)+\b")


@lru_cache(maxsize=8192)
def label_words(label: str) -> tuple[str, ...]:
    """``"card_arrival"`` -> ``("card", "arrival")``."""
    return tuple(word.lower() for word in _WORD.findall(label))


class Words:
    """The subject's words, numbers, dates and addresses, in order, without fault markers.

    ``lines``: those of what was ``given`` that are long enough to be quoted.
    """

    def __init__(self, subject: str, given: str = "") -> None:
        self.text = _MARKER.sub(" ", subject)
        self.list = _WORD.findall(self.text)
        said = _MARKER.sub("\n", given or subject).splitlines()
        # What is quoted already is what can be quoted; and a question stands last.
        said = [line[1:] for line in said if line.startswith("> ")] or said[:-1] or said
        self.lines = [line.strip() for line in said if len(line.strip()) >= 20]
        self._count = Counter(word.lower() for word in self.list)

    def numbers(self) -> list[str]:
        """The numbers in the text, as written."""
        return _NUMBER.findall(self.text)

    def dates(self) -> list[str]:
        """The ISO dates in the text."""
        return _DATE.findall(self.text)

    def emails(self) -> list[str]:
        """The plain e-mail addresses in the text."""
        return _EMAIL.findall(self.text)

    def affinity(self, options: list[str]) -> list[float]:
        """For each option the share of its words that the text has, 0 to 1.

        A prompt that lists every option has every word of them; then only the occurrences beyond
        that list speak for an option.
        """
        split = [label_words(option) for option in options]
        listed = Counter(word for words in split for word in words)
        count = self._count
        if all(count[word] >= times for word, times in listed.items()):
            count = count - listed
        return [
            sum(1 for word in words if count[word] > 0) / len(words) if words else 0.0
            for words in split
        ]
