"""A ledger whose tables are not this code's is refused with what to run, by whoever asks first."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy.orm import Session

from tests.ledger.moves import new_item, promise_of
from tests.servers import PostgreSQL
from tierqueue import migrations
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.lifecycle import caller_session
from tierqueue.ledger.lifecycle.items import submit
from tierqueue.ledger.operations import item_list
from tierqueue.ledger.operations.item_list import ItemFilter
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.router.errors import LedgerMismatch, Misconfigured


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "sqlite":
        ledger = Ledger(f"sqlite:///{tmp_path}/empty.db")
        yield ledger
        ledger.close()
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    url = server.empty_database()
    ledger = Ledger(url)
    yield ledger
    ledger.close()
    server.drop(url)


def refused_by(ledger: Ledger) -> LedgerMismatch:
    """What a producer is told."""
    new = new_item(fallback={"on_throttle": "open_weight"})
    with pytest.raises(LedgerMismatch) as refused, ledger.write() as connection:
        submit(connection, new, promise_of(new.id))
    return refused.value


def test_a_ledger_that_was_never_migrated_says_what_to_run(empty: Ledger) -> None:
    refusal = refused_by(empty)
    assert refusal.message.startswith("the ledger was never migrated: run `tierqueue migrate`")
    assert not unreachable(refusal)
    with pytest.raises(LedgerMismatch), empty.read() as connection:
        item_list.newest(connection, ItemFilter(), 1)


def test_a_file_that_was_never_migrated_is_named_whole_for_it_may_be_another_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("sqlite:///ledger.db")
    try:
        assert refused_by(ledger).message.endswith(f", if {tmp_path / 'ledger.db'} is the one")
        with pytest.raises(LedgerMismatch, match=f"{tmp_path / 'ledger.db'} is the one"):
            migrations.check(ledger)
    finally:
        ledger.close()


def test_an_older_ledger_says_its_revision_and_what_it_lacks(empty: Ledger) -> None:
    with empty.engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    refusal = refused_by(empty)
    assert refusal.message.startswith("the ledger is at revision 0001 and has no column ")
    assert "tierqueue migrate" in refusal.message
    with pytest.raises(LedgerMismatch) as lacking, empty.read() as connection:
        pauses.in_force(connection)
    assert lacking.value.fields == {"found": "0001", "lacking": "table pauses"}


def test_a_callers_own_session_on_another_database_is_told_so(empty: Ledger) -> None:
    new = new_item()
    with Session(empty.engine) as session, pytest.raises(LedgerMismatch) as refused:
        caller_session.submit_in(session, new, promise_of(new.id), lambda: None)
    assert "is it the ledger's" in refused.value.message


def test_a_ledger_of_this_revision_is_asked_as_ever(ledger: Ledger) -> None:
    with ledger.write() as connection:
        new = new_item()
        assert submit(connection, new, promise_of(new.id)) == new.id


def test_no_word_of_a_password_is_in_a_refusal() -> None:
    for url in (
        "postgresql://ops:s@e/cret@db.example/ledger",
        "postgresql://ops:secret@db.example:port/ledger",
    ):
        with pytest.raises(Misconfigured) as refused:
            Ledger(url)
        assert "cret" not in refused.value.message


def written_and_given_back(server: PostgreSQL, more: str = "") -> str:
    """The URL of a database in which a test submitted an item."""
    url = server.migrated_database()
    ledger = Ledger(url)
    new = new_item()
    with ledger.write() as connection:
        submit(connection, new, promise_of(new.id))
        if more:
            connection.exec_driver_sql(more)
    server.give_back(url)
    ledger.close()
    return url


def test_a_database_that_a_test_gives_back_is_empty_for_the_next(postgresql: PostgreSQL) -> None:
    url = written_and_given_back(postgresql)
    assert postgresql.migrated_database() == url
    ledger = Ledger(url)
    with ledger.read() as connection:
        assert item_list.newest(connection, ItemFilter(), 1) == []
    ledger.close()
    postgresql.give_back(url)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE items ADD COLUMN more TEXT",
        "CREATE TABLE orders (item TEXT)",
        "UPDATE alembic_version SET version_num = '0001'",
        "DROP INDEX ix_batches_open",
        "ANALYZE items",
    ],
)
def test_one_whose_tables_were_changed_is_given_to_nobody(
    postgresql: PostgreSQL, change: str
) -> None:
    url = written_and_given_back(postgresql, change)
    following = postgresql.migrated_database()
    assert following != url
    postgresql.give_back(following)
