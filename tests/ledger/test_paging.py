"""Questions about items are answered in pages, the newest first."""

import pytest
from sqlalchemy import select

from tests.ledger.placed import place
from tierqueue.ledger import paging
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import items


@pytest.mark.parametrize("page", [1, 2, 5, 100])
def test_every_length_of_a_page_gives_the_same_newest_rows(ledger: Ledger, page: int) -> None:
    placed = sorted((place(ledger, "submitted") for _ in range(5)), reverse=True)
    for most in (0, 1, 4, 5, 6):
        with ledger.read() as connection:
            pages = list(paging.newest(connection, select(items.c.id), most, page))
        assert [row.id for rows in pages for row in rows] == placed[:most]
        assert all(len(rows) <= page for rows in pages)
