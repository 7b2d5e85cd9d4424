"""Errors of a policy: pydantic's findings in words that name the key and what to do."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from tierqueue.router.item import MOST_NAME, shown

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_LISTED = 20
"""Names that are told where none is near."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
"""What TOML takes as a key without quotes."""

_NAMED = ("tasks", "deployments", "accounts", "budgets", "redaction")
"""Tables whose keys are names that people give."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"``, or the empty string where nothing is near."""
    if len(word) > MOST_NAME:
        return ""  # no typo: what it is near takes long to find
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {str(close[0])!r}?" if close else ""


def there_is_no(what: str, name: str, known: Iterable[str]) -> str:
    """That nothing is called ``name``, and the nearest that is, else those there are."""
    listed = sorted(known)
    hint = nearest(name, listed)
    if not hint and listed:
        more = ", …" if len(listed) > _LISTED else ""
        hint = f": there are {', '.join(listed[:_LISTED])}{more}"
    return f"there is no {what} {shown(name)!r}{hint}"


def dotted(*parts: object) -> str:
    """A key's path as TOML wants it written: quoted where a part has more than a bare key may."""
    return ".".join(_spelt(part) for part in parts)


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def nth(number: int) -> str:
    """Which one of several, counted from 0, as people count."""
    return _ORDINALS[number] if number < len(_ORDINALS) else f"{number + 1}th"


def placed(where: Sequence[object]) -> str:
    """A key's place for people: of an array of tables it says which one is meant."""
    for at, part in enumerate(where):
        if isinstance(part, int):
            table, rest = dotted(*where[:at]), placed(where[at + 1 :])
            if rest:
                return f"{rest} of the {nth(part)} [[{table}]]"
            return f"the {nth(part)} of {table}"
    return dotted(*where)


def plain_message(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, without the words that it puts before a ``ValueError``'s
    or an ``AssertionError``'s own.
    """
    return re.sub(r"^(Value error|Assertion failed), ", "", str(error["msg"]))


def complaint(wrong: "ValidationError", model: "type[BaseModel]") -> tuple[Sequence[object], str]:
    """The most telling error as (the key's path, what is wrong with it and what to do)."""
    errors = wrong.errors(include_url=False)
    # A misspelt key explains why another is missing, so it is told first.
    error = min(errors, key=lambda candidate: candidate["type"] != "extra_forbidden")
    where = [part for part in error["loc"] if part != "[key]"]
    path = where
    word = str(where[-1]) if where else ""
    match error["type"]:
        case "extra_forbidden":
            keys = _keys_beside(where, model)
            if (name := _unquoted(where, error["input"], nearest(word, keys))) is not None:
                table = dotted(where[0], name)
                why = f"is read as a table within a table: a name with a dot is quoted, [{table}]"
                return path, why
            return path, "unknown key" + (nearest(word, keys) or f"; known are {', '.join(keys)}")
        case "missing":
            return path, "is missing"
        case "dict_type" | "model_type":
            return path, "is not a table"
        case "tuple_type":
            return path, "is not an array"
        case "enum" | "literal_error":
            expected = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
            why = f"{error['input']!r} is not one of {', '.join(expected)}"
            return path, why + nearest(str(error["input"]), expected)
        case "string_pattern_mismatch" if word == "sha256":
            why = "is not a SHA-256: it has 64 hex digits in lower case, as `sha256sum FILE` says"
            return path, why
        case "value_error":
            return path, str(error["ctx"]["error"])
        case _:
            said = plain_message(error)
            return path, f"{said[:1].lower()}{said[1:]}"


def _spelt(part: object) -> str:
    text = shown(str(part))
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _unquoted(where: Sequence[object], found: object, near: str) -> str | None:
    """The name with dots that was meant, where it was written without quotes."""
    if len(where) != 3 or where[0] not in _NAMED or not isinstance(found, dict) or near:
        return None
    return f"{where[1]}.{where[2]}"


def _keys_beside(where: list[Any], model: "type[BaseModel]") -> list[str]:
    """The keys that are valid in the table where the last part of ``where`` stands."""
    for part in where[:-1]:
        if part in model.model_fields:
            model = _table_in(model.model_fields[part].annotation) or model
    return [key for key in model.model_fields if key not in filled_in(model)]


def filled_in(model: "type[BaseModel]") -> set[str]:
    """The fields of a table that no text may state: whoever reads it fills them in."""
    if "policy" in model.model_fields:
        return {"name", "policy"}
    return {"digest", "folder"} & model.model_fields.keys()


def _table_in(annotation: Any) -> "type[BaseModel] | None":
    """The table that ``annotation`` is, holds or maps names to."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_table_in(part) for part in get_args(annotation))
    return next((table for table in found if table is not None), None)
