"""What waits and what is left to write is found by its own small index."""

from tests.ledger.plans import plans_of
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.lifecycle.deaths import end_overdue
from tierqueue.ledger.monitoring import outset
from tierqueue.ledger.results import sinks
from tierqueue.ledger.session import Ledger


def test_what_is_due_is_found_beside_documents_that_wait_for_their_pieces(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    with plans_of(ledger) as plans, ledger.write() as connection:
        outset.read(connection)
        routes.wake_due(connection, 1)
    ledger.close()
    read = [line for line in plans if "ix_items_" in line]
    assert len(read) == 2
    assert all("ix_items_due" in line for line in read)


def test_rows_left_to_write_are_found_beside_those_that_are_written(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    with plans_of(ledger) as plans, ledger.read() as connection:
        sinks.left(connection, "j", -1, 10, refused=False)
    ledger.close()
    assert "ix_sink_rows_left" in next(line for line in plans if " sink_rows " in line)


def test_what_is_past_its_deadline_is_found_beside_items_that_have_none(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    with plans_of(ledger) as plans, ledger.write() as connection:
        end_overdue(connection, 1, 10)
    ledger.close()
    assert "ix_items_deadline" in next(line for line in plans if " items " in line)
