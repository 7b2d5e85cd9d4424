"""Long tables, read in pages."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, literal, tuple_

from tierqueue.ledger.session import Transaction
from tierqueue.ledger.tables import items


def newest(
    connection: Transaction, found: Select[Any], most: int, page: int
) -> Iterator[Sequence[Row[Any]]]:
    """The rows of a question about items, the newest first: ``most`` at the most, so many a
    ``page``. Each row has the item's ``id``.
    """
    found = found.order_by(items.c.id.desc())
    left, rest = most, found
    while left > 0:
        rows = connection.execute(rest.limit(min(page, left))).all()
        if not rows:
            return
        yield rows
        left -= len(rows)
        rest = found.where(items.c.id < rows[-1].id)


Place = tuple[int, str]
"""Where a page ended: the time (epoch microseconds) and the id of its last row."""


def page(
    found: Select[Any],
    at: ColumnElement[Any],
    key: ColumnElement[str],
    limit: int,
    after: Place | None,
) -> Select[Any]:
    """The newest rows of a question by the time ``at`` and, within it, their ``key``: ``limit`` of
    them, those ``after`` a place. A page costs the same however deep it is.
    """
    if after is not None:
        found = found.where(tuple_(at, key) < tuple_(*map(literal, after)))
    return found.order_by(at.desc(), key.desc()).limit(limit)
