"""Reasons for refusing an answer, which are stored and shown and hold nothing of the answer.

What an answer says may be anybody's: a key of its JSON, a label it made up, a control sequence.
"""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

MOST = 20
"""The most reasons that are kept of one answer."""

LONGEST = 300
"""The most characters of one reason."""

_TELLING = 4
"""Words of an answer shorter than this are words of any sentence; numbers are not."""

_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a cursor, turns a line round, or is no character."""


def of_form(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Why an answer does not fit ``model``: where, by names the model declares, and which rule."""
    declared = set(_declared(model.model_json_schema()))
    found = error.errors(include_input=False, include_context=False, include_url=False)
    return list(dict.fromkeys(_one(fault, declared) for fault in found))


def without(answer: Any, said: str) -> str:
    """What a check says, as one line, with ``…`` for all that it quotes of the answer."""
    for part in sorted(set(_parts(answer)), key=len, reverse=True):
        if len(part) >= _TELLING:
            said = said.replace(part, "…")
        elif part.isdecimal() or "." in part:
            said = re.sub(rf"(?<![\d.]){re.escape(part)}(?![\d.])", "…", said)
    return _UNSHOWN.sub(" ", said)[:LONGEST]


def _one(error: Any, declared: set[str]) -> str:
    where = [
        str(part) if isinstance(part, int) or part in declared else "…" for part in error["loc"]
    ]
    # pydantic's messages quote the input for some kinds of error; its kinds never do, and a
    # team's own kind may.
    kind = str(error["type"]).replace("_", " ")
    kind = kind if re.fullmatch(r"[a-z][a-z0-9 ]{0,63}", kind) else "not as asked"
    return f"{'.'.join(where[:8]) or 'answer'}: {kind}"[:LONGEST]


def _declared(schema: Any) -> Iterator[str]:
    """Every name that a JSON schema declares: of fields, definitions and kinds in a union."""
    if isinstance(schema, list):
        for part in schema:
            yield from _declared(part)
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key in ("properties", "$defs", "mapping") and isinstance(value, dict):
            yield from value
        yield from _declared(value)


def _parts(answer: Any) -> Iterator[str]:
    """Every key and value of a plain JSON answer, as text."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            yield key
            yield from _parts(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from _parts(value)
    elif answer is not None and not isinstance(answer, bool):
        yield str(answer)
