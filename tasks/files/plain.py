"""Values of a source as JSON has them."""

import json
import re
from datetime import date, datetime, time
from typing import Any

_UNWRITABLE = re.compile("[\ud800-\udfff\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What JSON may hold and a text file or a terminal does not take as it is."""


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


def is_json(value: Any) -> bool:
    """Whether JSON knows all of ``value``."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def json_text(value: Any) -> str:
    """``value`` as JSON on one line that any file and any terminal takes."""
    said = json.dumps(value, ensure_ascii=False, default=plain_value)
    return _UNWRITABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", said)
