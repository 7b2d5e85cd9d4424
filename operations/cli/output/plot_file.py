"""The file that a plot is drawn to: a picture, where the extra ``plots`` is installed."""

import importlib.util
from pathlib import Path

from tierqueue.router.errors import InvalidItem, Misconfigured


def refuse_unusable(path: Path) -> None:
    """Raise ``InvalidItem`` for a file that is no picture, ``Misconfigured`` without the extra."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise InvalidItem(f"{path}: a plot is a .png or a .svg file")
    if importlib.util.find_spec("matplotlib") is None:
        raise Misconfigured("a plot needs the extra: pip install 'tierqueue[plots]'")
