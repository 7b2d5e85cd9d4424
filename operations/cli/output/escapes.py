"""Text from outside, for a terminal: what would steer it is shown instead of obeyed."""

import json
import unicodedata
from typing import Any

_JOINERS = "\u200c\u200d"
"""Format characters that scripts and emoji are written with, and that move nothing."""


def visible(text: str) -> str:
    r"""``text`` with every control, direction and unpaired character as an escape such as ``\x1b``.

    One line stays one line: a newline and a tab are escapes too.
    """
    if text.isprintable():
        return text
    return "".join(char if _harmless(char) else _escaped(char) for char in text)


def json_line(value: Any) -> str:
    """``value`` as JSON on one line, with the same characters escaped as JSON has it."""
    line = json.dumps(value, default=str, ensure_ascii=False)
    if line.isprintable():
        return line
    # Outside of texts JSON has printable characters alone, so each of these stands in a text.
    return "".join(char if _harmless(char) else json.dumps(char)[1:-1] for char in line)


def _harmless(char: str) -> bool:
    return char.isprintable() or char in _JOINERS or unicodedata.category(char) == "Zs"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
