"""A ledger that answers and takes no writes: each cause as the database itself says it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from tierqueue.ledger.monitoring import progress, writes
from tierqueue.ledger.session import Ledger, unreachable


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes, "PATIENCE_SECONDS", 0.1)


@contextmanager
def read_only(ledger: Ledger) -> Iterator[None]:
    """The database takes no writes of whoever connects now, as one that was made read-only."""
    if ledger.dialect == "postgresql":
        name = ledger.engine.url.database
        switch = f'ALTER DATABASE "{name}" SET default_transaction_read_only = '
        with ledger.write() as connection:
            connection.execute(text(switch + "on"))
        ledger.close()
        yield
        with ledger.engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ WRITE"))
            connection.execute(text(switch + "off"))
            connection.commit()
        return

    def connected(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA query_only = ON")

    ledger.close()
    event.listen(Engine, "connect", connected)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connected)
        ledger.close()


@contextmanager
def locked(ledger: Ledger) -> Iterator[None]:
    """Somebody else holds what every write needs, a database shell or a backup."""
    other = Ledger(ledger.engine.url.render_as_string(hide_password=False), frozen_seconds=600)
    with other.engine.begin() as connection:
        if ledger.dialect == "postgresql":
            connection.execute(text("LOCK TABLE processes IN SHARE MODE"))
        yield
    other.close()


def test_a_ledger_that_takes_writes_is_not_changed_by_asking(ledger: Ledger) -> None:
    assert writes.refused(ledger) is None
    with ledger.read() as connection:
        assert progress.living(connection, ledger.now()) == []


def test_a_lock_that_somebody_holds_is_named_and_not_waited_for(ledger: Ledger) -> None:
    with locked(ledger):
        refusal = writes.refused(ledger)
    assert refusal is not None
    assert refusal.cause == "locked"
    assert writes.refused(ledger) is None


def test_a_worker_that_is_frozen_in_its_turn_is_found(sqlite_url: str) -> None:
    ledger, frozen = Ledger(sqlite_url), Ledger(sqlite_url)
    assert frozen._turns is not None
    with frozen._turns:
        refusal = writes.refused(ledger)
    assert refusal is not None
    assert refusal.cause == "locked"
    ledger.close()
    frozen.close()


def test_a_read_only_ledger_is_named(ledger: Ledger) -> None:
    with read_only(ledger):
        refusal = writes.refused(ledger)
    assert refusal is not None
    assert refusal.cause == "read_only"
    assert "read" in refusal.said
    assert writes.refused(ledger) is None


def test_a_process_that_meets_a_read_only_ledger_asks_again(ledger: Ledger) -> None:
    with (
        read_only(ledger),
        pytest.raises(DBAPIError) as refused,
        ledger.write() as connection,
    ):
        progress.beat(connection, "worker", kind="worker", tier="gpu", detail={})
    assert unreachable(refused.value)


def test_a_full_disk_is_named(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    with ledger.engine.connect() as connection:
        connection.execute(text("PRAGMA max_page_count = 1"))
    with pytest.raises(DBAPIError) as refused, ledger.write() as connection:
        connection.execute(text("CREATE TABLE more AS SELECT zeroblob(1000000)"))
    refusal = writes.refusal(refused.value)
    assert refusal is not None
    assert refusal.cause == "full"
    ledger.close()


def test_an_input_output_error_is_what_a_full_disk_may_be_called() -> None:
    said = sqlite3.OperationalError("disk I/O error")
    said.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    refusal = writes.refusal(OperationalError("BEGIN", None, said))
    assert refusal == writes.WriteRefusal("full", "disk I/O error")


def test_another_error_is_none_of_these(ledger: Ledger) -> None:
    with pytest.raises(DBAPIError) as refused, ledger.write() as connection:
        connection.execute(text("SELECT FROM WHERE"))
    assert writes.refusal(refused.value) is None


def test_a_turn_file_on_a_read_only_file_system_is_the_database_s_refusal(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only_system(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    ledger = Ledger(sqlite_url)
    monkeypatch.setattr("tierqueue.ledger.sqlite.turns.os.open", read_only_system)
    with pytest.raises(DBAPIError) as refused, ledger.write():
        pass
    refusal = writes.refusal(refused.value)
    assert refusal is not None
    assert refusal.cause == "read_only"
    assert unreachable(refused.value)
    ledger.close()
