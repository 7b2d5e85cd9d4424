"""A process that is stopped in the middle of a transaction does not stop the others."""

from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.ledger.placed import column, place
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.ledger.tables import items
from tierqueue.migrations import check


@pytest.mark.parametrize("rows", [1, 2])
def test_whoever_stops_in_a_transaction_on_postgresql_loses_its_locks(
    postgresql_url: str, rows: int
) -> None:
    stopped, other = Ledger(postgresql_url, frozen=0.2), Ledger(postgresql_url)
    ids = [place(other, "routed") for _ in range(2)]
    urgent = update(items).where(items.c.id == bindparam("b_id")).values(priority=9)

    def stop_in_a_transaction() -> None:
        with stopped.write() as connection:
            connection.execute(urgent, [{"b_id": item_id} for item_id in ids[:rows]])
            with other.write() as second:
                # Waits for the locks of the first, who says nothing any more.
                second.execute(update(items).values(priority=1))
            connection.execute(select(items.c.id))

    with pytest.raises(DBAPIError) as ended:
        stop_in_a_transaction()
    assert unreachable(ended.value)
    assert column(other, ids[0], "priority") == 1
    stopped.close()
    other.close()


def test_whoever_starts_before_the_database_waits_for_it(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(postgresql_url)
    refusals = iter([True, True, False])
    read = ledger.read

    def sometimes() -> AbstractContextManager[Connection]:
        if next(refusals):
            raise OperationalError("SELECT 1", {}, ConnectionRefusedError())
        return read()

    monkeypatch.setattr(ledger, "read", sometimes)
    ledger.await_answer(lambda: check(ledger))
    assert next(refusals, None) is None
    assert ledger.await_answer(lambda: "what was answered") == "what was answered"
    ledger.close()


def test_a_read_may_stand_still_for_longer_than_a_write_where_that_was_asked(
    postgresql_url: str,
) -> None:
    ledger, clock = Ledger(postgresql_url, frozen=0.1, idle_reads=30), Ledger(postgresql_url)

    def stand_still(transaction: AbstractContextManager[Connection]) -> None:
        with transaction as connection:
            connection.execute(select(items.c.id))
            with clock.read() as other:
                other.execute(text("SELECT pg_sleep(0.4)"))
            connection.execute(select(items.c.id))

    stand_still(ledger.read())
    with pytest.raises(DBAPIError):
        stand_still(ledger.write())
    ledger.close()
    clock.close()
