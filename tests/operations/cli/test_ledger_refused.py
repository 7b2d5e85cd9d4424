"""What a producer and a command are told by a ledger that is not of this revision."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from tests.operations.cli.command import Command
from tests.tasks.producer import Producer
from tierqueue.operations.cli.input.ledger_access import ledger_complaint
from tierqueue.router.errors import LedgerMismatch
from tierqueue.tasks import classify

RUN = "the ledger was never migrated"


def test_a_producer_before_the_first_migration_is_told_what_to_run(
    producer_to: Callable[[str], Producer], tmp_path: Path
) -> None:
    producer_to(f"sqlite:///{tmp_path}/new.db")
    with pytest.raises(LedgerMismatch) as refused:
        classify.delay("a ticket", labels=["a", "b"])
    assert refused.value.message.startswith(f"{RUN}: run `tierqueue migrate`")


@pytest.mark.parametrize(
    "words",
    [
        ["item", "list"],
        ["job", "list"],
        ["status"],
        ["pause", "budget", "acme"],
        ["dead-letters", "replay", "x", "--yes"],
        ["concurrency", "set", "gpu", "3"],
        ["health", "--worker", "gpu"],
        ["doctor", "--acknowledge"],
    ],
)
def test_every_command_before_the_first_migration_says_what_to_run(
    command: Callable[[str], Command], tmp_path: Path, words: list[str]
) -> None:
    ended, out, err = command(f"sqlite:///{tmp_path}/new.db").run(*words)
    assert ended == 2
    assert RUN in out + err
    assert "run `tierqueue migrate`" in " ".join((out + err).split())


class _Refusal(Exception):
    pass


def test_what_the_database_refuses_is_told_without_the_row_that_it_quotes() -> None:
    refusal = _Refusal("null value in column x\nDETAIL:  Failing row contains (a secret)")
    told = ledger_complaint(IntegrityError("INSERT", {}, refusal))
    assert told == "the ledger refused what this command asked: null value in column x"


def test_a_command_that_stood_still_for_too_long_is_told_to_run_again() -> None:
    ended = _Refusal("terminating connection due to idle-in-transaction timeout")
    told = ledger_complaint(IntegrityError("SELECT", {}, ended))
    assert told is not None
    assert told.endswith("run the command again")


def test_what_is_no_error_of_the_database_is_no_complaint_of_the_ledger() -> None:
    assert ledger_complaint(RuntimeError("a bug")) is None
