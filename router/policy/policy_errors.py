"""What pydantic found wrong with a policy, in words that say which key and what to do."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_LISTED = 20
"""Names that are told where none is near."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"``, or the empty string where nothing is near."""
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {str(close[0])!r}?" if close else ""


def there_is_no(what: str, name: str, known: Iterable[str]) -> str:
    """That nothing is called ``name``, and the nearest that is, else those there are."""
    listed = sorted(known)
    hint = nearest(name, listed)
    if not hint and listed:
        more = ", …" if len(listed) > _LISTED else ""
        hint = f": there are {', '.join(listed[:_LISTED])}{more}"
    return f"there is no {what} {name!r}{hint}"


def complaint(wrong: "ValidationError", model: "type[BaseModel]") -> tuple[str, str]:
    """The most telling error as (the key's path, what is wrong with it and what to do)."""
    errors = wrong.errors(include_url=False)
    # A misspelt key explains why another is missing, so it is told first.
    error = min(errors, key=lambda candidate: candidate["type"] != "extra_forbidden")
    where = [part for part in error["loc"] if part != "[key]"]
    path = ".".join(_spelt(part) for part in where)
    word = str(where[-1]) if where else ""
    match error["type"]:
        case "extra_forbidden":
            keys = _keys_beside(where, model)
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
        case "value_error":
            return path, str(error["ctx"]["error"])
        case _:
            return path, f"{error['msg'][:1].lower()}{error['msg'][1:]}"


def _spelt(part: object) -> str:
    """A key as TOML wants it written: quoted where it has dots."""
    return f'"{part}"' if "." in str(part) else str(part)


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
    return {"digest"} & model.model_fields.keys()


def _table_in(annotation: Any) -> "type[BaseModel] | None":
    """The table that ``annotation`` is, holds or maps names to."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_table_in(part) for part in get_args(annotation))
    return next((table for table in found if table is not None), None)
