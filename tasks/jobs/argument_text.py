"""Text as a value: what a command line and a cell say, before the task type checks it."""

import json
from pathlib import Path
from typing import Any, get_origin

from pydantic.fields import FieldInfo

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.documents.places import folder_of
from tierqueue.tasks.files.plain import plain_value


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


def image_file(source: Path, value: Any) -> Path:
    """The file of an image that a row of ``source`` names, in the folder of that or below it.

    Raises ``InvalidItem`` for a name that leads elsewhere: who writes a table does not thereby say
    which files of this machine are sent to a provider.
    """
    folder = folder_of(source)
    if not isinstance(value, str) or not value.strip():
        raise InvalidItem("an image is named by the path of its file")
    try:
        file = (folder / value).resolve()
    except (OSError, ValueError):
        raise InvalidItem(f"{value!r} is no path of a file") from None
    if not file.is_relative_to(folder.resolve()):
        raise InvalidItem(
            f"the image {value!r} is not in the folder of {source.name}, nor below it: put it there"
        )
    return file
