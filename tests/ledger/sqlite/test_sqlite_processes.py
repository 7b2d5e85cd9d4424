"""SQLite under several processes: nothing is lost, nobody is told that it is busy."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError

from tests.ledger.moves import Moves, ceiling
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import balances

if TYPE_CHECKING:
    from tests.ledger.conftest import Everywhere

TURNS = 60
PROCESSES = 6


def _read_and_write(url: str) -> int:
    """Add one to a balance, ``TURNS`` times, by reading it first and writing what it was plus 1."""
    ledger = Ledger(url)
    for _ in range(TURNS):
        with ledger.write() as connection:
            spent = connection.execute(select(balances.c.spent)).scalar_one()
            connection.execute(update(balances).values(spent=spent + 1))
    ledger.close()
    return TURNS


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Moves]:
    ledger = Ledger(sqlite_url)
    moves = Moves(ledger)
    moves.ceilings(ceiling("everything", 1_000))
    moves.running(bound=0)
    yield moves
    ledger.close()


def test_six_processes_lose_no_update_and_see_no_busy_error(
    sqlite: Moves, sqlite_url: str, everywhere: "Everywhere"
) -> None:
    done = everywhere(_read_and_write, [sqlite_url] * PROCESSES)
    with sqlite.ledger.read() as connection:
        spent = connection.execute(select(balances.c.spent)).scalar_one()
    assert spent == sum(done) == PROCESSES * TURNS


def test_a_reader_sees_what_was_committed_while_another_writes(sqlite: Moves) -> None:
    with sqlite.ledger.write() as writing:
        writing.execute(update(balances).values(spent=5))
        with sqlite.ledger.read() as connection:
            assert connection.execute(select(balances.c.spent)).scalar_one() == 0
    with sqlite.ledger.read() as connection:
        assert connection.execute(select(balances.c.spent)).scalar_one() == 5


def test_a_transaction_for_reading_cannot_write(sqlite: Moves) -> None:
    with (
        pytest.raises(OperationalError, match="readonly"),
        sqlite.ledger.read() as connection,
    ):
        connection.execute(update(balances).values(spent=5))


def test_what_is_committed_is_on_the_disk(sqlite: Moves) -> None:
    with sqlite.ledger.write() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
