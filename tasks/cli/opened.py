"""The ledger as a command uses it: of the right revision, closed at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from tierqueue.ledger.session import Ledger, unreachable


@contextmanager
def opened() -> Iterator[Ledger]:
    """The ledger of ``TIERQUEUE_LEDGER_URL``.

    Raises ``Misconfigured`` where none is named and ``LedgerMismatch`` for one of another revision.
    """
    from tierqueue.migrations import check
    from tierqueue.tasks.app import app

    ledger = app.ledger
    try:
        check(ledger)
        yield ledger
    finally:
        ledger.close()


def ledger_complaint(error: BaseException) -> str | None:
    """One line for an error that says the database could not be asked; ``None`` for others."""
    if not unreachable(error):
        return None
    # The driver's own words name host and reason; the statement's arguments stay out of them.
    why = str(getattr(error, "orig", None) or type(error).__name__)
    return f"the ledger cannot be asked: {why}"
