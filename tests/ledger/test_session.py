"""Transactions: a stopped process keeps no lock, a start waits, and no plan is kept for long."""

from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.ledger.placed import column, place
from tierqueue.ledger import postgresql
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.ledger.tables import items
from tierqueue.migrations import check


@pytest.mark.parametrize("rows", [1, 2])
def test_whoever_stops_in_a_transaction_on_postgresql_loses_its_locks(
    postgresql_url: str, rows: int
) -> None:
    stopped, other = Ledger(postgresql_url, frozen_seconds=0.2), Ledger(postgresql_url)
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
    ledger, clock = (
        Ledger(postgresql_url, frozen_seconds=0.1, idle_reads_seconds=30),
        Ledger(postgresql_url),
    )

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


ASKED = "SELECT tier FROM items WHERE id = :id"
OFTEN = 20
"""Times after which the driver has prepared a statement and the database keeps a plan for it."""


def ask_often(ledger: Ledger) -> None:
    for _ in range(OFTEN):
        with ledger.read() as connection:
            connection.execute(text(ASKED), {"id": "x"})


def plan_kept(connection: Connection) -> str:
    """The plan by which the statement asked often would be executed now."""
    prepared = (
        "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT tier FROM items%'"
    )
    name = connection.execute(text(prepared)).scalar_one()
    return "\n".join(connection.execute(text(f"EXPLAIN EXECUTE {name}('x')")).scalars())


@pytest.mark.parametrize(("seconds", "scans"), [(0.0, "Index Scan"), (3600.0, "Seq Scan")])
def test_postgresql_goes_by_the_plan_of_a_small_table_for_so_many_seconds_alone(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, seconds: float, scans: str
) -> None:
    monkeypatch.setattr(postgresql, "PLANS_SECONDS", seconds)
    monkeypatch.setattr(postgresql, "FRESH_SECONDS", 3600.0)
    ledger, other = Ledger(postgresql_url), Ledger(postgresql_url)
    item_id = place(other, "routed")
    with other.write() as connection:
        connection.execute(text("ANALYZE items"))
    ask_often(ledger)
    with ledger.read() as connection:
        assert "Seq Scan" in plan_kept(connection)
    names = ", ".join(f'"{column.name}"' for column in items.c if column.name != "id")
    with other.write() as connection:
        connection.execute(
            text(
                f"INSERT INTO items (id, {names}) SELECT id || number, {names} FROM items, "
                "generate_series(1, 5000) AS number WHERE id = :id"
            ),
            {"id": item_id},
        )
    with ledger.read() as connection:
        assert scans in plan_kept(connection)
    ledger.close()
    other.close()


def test_a_plan_is_kept_between_transactions_on_postgresql(postgresql_url: str) -> None:
    ledger = Ledger(postgresql_url)
    ask_often(ledger)
    with ledger.read() as connection:
        kept = "SELECT sum(generic_plans) FROM pg_prepared_statements"
        assert connection.execute(text(kept)).scalar_one() > 0
    ledger.close()


def used(connection: Connection) -> int:
    return id(connection.connection.driver_connection)


def test_the_connection_that_was_used_last_is_used_next(ledger: Ledger) -> None:
    with ledger.read() as last:
        wanted = used(last)
        with ledger.read() as first:
            assert used(first) != wanted
    for _ in range(3):
        with ledger.read() as connection:
            assert used(connection) == wanted


def test_whoever_only_asks_opens_no_transaction_on_postgresql(postgresql_url: str) -> None:
    ledger = Ledger(postgresql_url)
    begun = text("SELECT now()")
    with ledger.read() as connection:
        assert connection.execute(begun).scalar() == connection.execute(begun).scalar()
    with ledger.ask() as connection:
        assert connection.execute(begun).scalar() != connection.execute(begun).scalar()
    ledger.close()


def test_whoever_only_asks_sees_what_was_written(ledger: Ledger) -> None:
    item_id = place(ledger, "routed")
    with ledger.ask() as connection:
        assert connection.execute(select(items.c.id)).scalars().all() == [item_id]
