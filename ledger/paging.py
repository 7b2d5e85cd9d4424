"""Long tables of items, read in pages."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, Select

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
