"""A command's ledger has patience with a machine that is busy."""

from collections.abc import Callable

from sqlalchemy import text

from tests.operations.cli.command import Command
from tierqueue.operations.cli.input.ledger_access import open_ledger


def test_a_command_may_stand_still_longer_than_a_worker(
    command: Callable[[str], Command], postgresql_url: str
) -> None:
    command(postgresql_url)
    limit = text("SHOW idle_in_transaction_session_timeout")
    with open_ledger() as ledger:
        with ledger.write() as connection:
            assert connection.execute(limit).scalar() == "20s"
        with ledger.read() as connection:
            assert connection.execute(limit).scalar() == "1min"
