"""Names of columns, as a file's header gives them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tierqueue.router.errors import InvalidItem


def named(path: object, header: Sequence[Any]) -> tuple[str, ...]:
    """The names, by its place where a column has none; raises ``InvalidItem`` for one twice."""
    columns = tuple(
        f"column_{place}" if name is None or name == "" else str(name)
        for place, name in enumerate(header, start=1)
    )
    twice = sorted(name for name, times in Counter(columns).items() if times > 1)
    if twice:
        raise InvalidItem(
            f"{path}: the column {twice[0]!r} stands there twice: give one another name"
        )
    if any("\0" in name for name in columns):
        raise InvalidItem(f"{path}: a column's name holds a NUL character: it may be no text file")
    return columns
