"""The page of what stands at the broker: queues and keys, from ``broker.toml`` beside this file."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.reference import markdown
from tools.reference.reading.modules import ROOT, modules

_STATED = Path(__file__).with_name("broker.toml")
_OURS = re.compile(r"tierqueue[:-][a-z][a-z:-]*")
_NO_KEYS = {"tierqueue-loop"}
"""A thread's name."""

_INTRODUCTION = """
The broker carries messages and remembers nothing that the ledger does not know: it may be flushed
at any time, and what it forgot is told again. Names in capitals stand for an id or a name.
"""


def stated() -> dict[str, dict[str, dict[str, str]]]:
    """``queues`` and ``keys``, each by its pattern."""
    found: dict[str, Any] = tomllib.loads(_STATED.read_text(encoding="utf-8"))
    return found


def covered(key: str) -> bool:
    """Whether the page names this queue or key."""
    patterns = [*stated()["queues"], *stated()["keys"]]
    return any(
        re.fullmatch(re.sub(r"[A-Z]+", ".+", re.escape(pattern).replace(r"\-", "-")), key)
        for pattern in patterns
    )


def in_code() -> Iterator[str]:
    """Every beginning of a key of ours that stands in the code."""
    for path in modules():
        text = (ROOT / path).read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text if _OURS.search(text) else "")):
            match node:
                case ast.Constant(value=str(text)) if _OURS.fullmatch(text):
                    if text not in _NO_KEYS:
                        yield text


def page() -> str:
    """The whole page."""
    queues = markdown.table(
        ("queue", "what it holds", "who writes", "who reads"),
        ((f"`{n}`", q["holds"], q["writer"], q["reader"]) for n, q in stated()["queues"].items()),
    )
    keys = markdown.table(
        ("key", "type", "what it holds", "expires", "who writes"),
        (
            (f"`{name}`", key["type"], key["holds"], key["expires"], key["writer"])
            for name, key in stated()["keys"].items()
        ),
    )
    parts = (_INTRODUCTION, "## Queues", queues, "## Keys", keys)
    return markdown.page("The broker: queues and keys", *parts)
