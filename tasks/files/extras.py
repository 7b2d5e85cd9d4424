"""Most kinds of files need an extra: one that is missing is named with its command."""

from importlib import import_module
from typing import Any, Literal

from tierqueue.router.errors import InvalidItem

Extra = Literal["documents", "ocr"]


def needed(module: str, what: str, extra: Extra = "documents") -> Any:
    """The module that ``what`` needs; raises ``InvalidItem`` with what to install."""
    try:
        return import_module(module)
    except ImportError:
        raise InvalidItem(f"{what}: pip install 'tierqueue[{extra}]'") from None
