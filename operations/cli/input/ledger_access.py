"""Access to the ledger for a command: opened at the right revision, closed at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tierqueue.ledger.session import Ledger
    from tierqueue.tasks.app import TierqueueApp
    from tierqueue.tasks.settings import Settings

_IDLE_READS_SECONDS = 60.0
"""Seconds a command may stand still while it reads: on a busy machine it waits for its turn, and
nobody waits for it."""

_IDLE_WRITES_SECONDS = 20.0
"""The same while it writes, when others may wait for it."""


def command_app() -> "TierqueueApp":
    """The application as commands use it."""
    from tierqueue.tasks.app import app

    installation = app.installation
    installation.idle_reads_seconds, installation.idle_writes_seconds = (
        _IDLE_READS_SECONDS,
        _IDLE_WRITES_SECONDS,
    )
    return app


def settings() -> "Settings":
    """The settings of this process; raises ``Misconfigured``."""
    return command_app().installation.settings


def wake() -> None:
    """Have the routing stage look; returns at once and raises nothing."""
    command_app().installation.wakes.call()


@contextmanager
def open_ledger() -> Iterator["Ledger"]:
    """The ledger of ``TIERQUEUE_LEDGER_URL``; at the end wakes and events that wait are sent.

    Raises ``Misconfigured`` where none is named and ``LedgerMismatch`` for one of another revision.
    """
    from tierqueue.migrations import check

    installation = command_app().installation
    ledger = installation.ledger
    try:
        check(ledger)
        yield ledger
    finally:
        installation.close()


def ledger_complaint(error: BaseException) -> str | None:
    """One line for an error of the database; ``None`` for others.

    The driver's own words name host and reason, a second line of theirs the row that was refused:
    only the first is told, without the statement and its arguments.
    """
    from tierqueue.ledger.session import refused, unreachable

    why = str(getattr(error, "orig", None) or type(error).__name__).strip()
    if "idle-in-transaction" in why:
        return (
            "the ledger ended this command's transaction, because the command stood still in it for"
            " too long: nothing of that transaction was changed; run the command again"
        )
    if unreachable(error):
        return f"the ledger cannot be asked: {why}"
    if refused(error):
        return f"the ledger refused what this command asked: {why.splitlines()[0]}"
    return None
