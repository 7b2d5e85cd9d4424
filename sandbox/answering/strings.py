"""A string for a JSON schema: a run of the prompt's words, cut to the schema's lengths."""

import base64
import uuid
from collections.abc import Callable
from datetime import date, timedelta

from sandbox.answering.words import Words
from sandbox.wires.call import Json, Refused

PAD = "simulated"
LONGEST = 100_000


def string(schema: Json, words: Words, draw: Callable[[int], int]) -> str:
    """``draw(below)`` gives a number under ``below``, always the same for this field."""
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if least > LONGEST or (most is not None and least > most):
        raise Refused(400, "the schema's string lengths cannot be met")
    if "format" in schema:
        made = _formatted(schema["format"], words, draw)
    else:
        made = _phrase(words, draw)
        while len(made) < least:
            made += f" {PAD}"
        made = made[:most]
    if len(made) < least or (most is not None and len(made) > most):
        raise Refused(400, "the schema's string lengths do not suit its format")
    return made


def quotation(schema: Json, words: Words, draw: Callable[[int], int]) -> str:
    """Word for word a part of what was given: of a line, the likelier the longer it is."""
    at = draw(sum(map(len, words.lines)))
    for line in words.lines:
        if at < len(line):
            break
        at -= len(line)
    most = min(schema.get("maxLength", 200), 200)
    start = line.rfind(" ", 0, min(at, max(len(line) - 40, 0))) + 1
    said = line[start : start + most]
    if len(line) > start + most:
        said = said.rpartition(" ")[0] or said
    if len(said) < schema.get("minLength", 0):
        raise Refused(400, "the schema asks for quotations longer than what was given")
    return said


def _phrase(words: Words, draw: Callable[[int], int]) -> str:
    if not words.list:
        return f"{PAD} {draw(1000)}"
    at = draw(len(words.list))
    return " ".join(words.list[at : at + 1 + draw(6)])


def _formatted(kind: str, words: Words, draw: Callable[[int], int]) -> str:
    seen = words.dates()
    day = seen[draw(len(seen))] if seen else str(date(2020, 1, 1) + timedelta(days=draw(1800)))
    if kind == "date":
        return day
    if kind == "date-time":
        return f"{day}T00:00:00Z"
    if kind == "time":
        return f"{draw(24):02d}:00:00Z"
    if kind == "email":
        mails = words.emails()
        return mails[draw(len(mails))] if mails else f"simulated{draw(1000)}@example.com"
    if kind == "uri":
        return f"https://example.com/simulated/{draw(1000)}"
    if kind == "uuid":
        return str(uuid.UUID(int=draw(1 << 63), version=4))
    if kind in ("binary", "base64", "base64url"):
        return base64.urlsafe_b64encode(" ".join(words.list[:6]).encode()).decode()
    raise Refused(400, f"the sandbox does not answer strings of format {kind!r}")
