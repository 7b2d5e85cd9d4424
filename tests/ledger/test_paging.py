"""Questions about items are answered in pages, the newest first."""

import pytest
from sqlalchemy import select, update

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


def test_pages_by_time_and_id_leave_out_no_row_and_give_none_twice(ledger: Ledger) -> None:
    placed = sorted((place(ledger, "submitted") for _ in range(5)), reverse=True)
    seen: list[str] = []
    after: paging.Place | None = None
    with ledger.write() as connection:
        # Ids alone tell apart what came at one moment.
        connection.execute(update(items).values(submitted_at=7))
        found = select(items.c.submitted_at, items.c.id)
        while True:
            page = paging.page(found, items.c.submitted_at, items.c.id, 2, after)
            if not (rows := connection.execute(page).all()):
                break
            seen += [row.id for row in rows]
            after = rows[-1].submitted_at, rows[-1].id
    assert seen == placed
