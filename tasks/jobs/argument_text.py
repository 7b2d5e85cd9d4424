"""Text as a value: what a command line and a cell say, before the task type checks it."""

import json
from datetime import date, datetime, time
from typing import Any, get_origin

from pydantic.fields import FieldInfo

from tierqueue.router.errors import InvalidItem


def value_of(field: FieldInfo | type | None, text: str, *, lines: bool = False) -> Any:
    """``text`` for an argument of this type; anything but a list or a mapping stays text.

    A list is JSON, or separated by commas (``lines``: by line ends); a mapping is JSON. Raises
    ``InvalidItem`` for text that should be JSON and is not.
    """
    kind = field.annotation if isinstance(field, FieldInfo) else field
    kind = get_origin(kind) or kind
    if kind is dict or (kind is list and text.lstrip().startswith("[")):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidItem(f"not JSON: {error}") from None
    if kind is list:
        parts = text.splitlines() if lines else text.split(",")
        return [part.strip() for part in parts if part.strip()]
    return text


def cell_value(field: FieldInfo | type | None, value: Any) -> Any:
    """A cell for an argument of this type: text as ``value_of`` has it, others as JSON has them.

    Where the argument is text, a number or a date is written out.
    """
    if isinstance(value, str):
        return value_of(field, value)
    plain = plain_value(value)
    kind = field.annotation if isinstance(field, FieldInfo) else field
    if kind is str and isinstance(plain, int | float):
        return str(plain).lower() if isinstance(plain, bool) else str(plain)
    return plain


def plain_value(value: Any) -> Any:
    """A value of a source as JSON has it: dates by ISO, what JSON does not know as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): plain_value(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(part) for part in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
