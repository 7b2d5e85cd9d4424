"""The outbox: an item written through the caller's own session, committed or gone with it."""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tierqueue.ledger.lifecycle.items import NewItem, submit
from tierqueue.ledger.results.promises import Promise
from tierqueue.ledger.schema import lacks
from tierqueue.router.errors import LedgerMismatch, Misconfigured

_KNOWN = ("sqlite", "postgresql")


def submit_in(
    caller: Session | Connection, new: NewItem, promise: Promise, committed: Callable[[], None]
) -> str:
    """Write an item and what its producer is owed in ``caller``'s transaction; returns its id.

    ``committed`` is called when that transaction commits, and not if it is rolled back. Raises
    what ``items.submit`` raises, ``Misconfigured`` for what is no SQLAlchemy session or connection
    (an ``AsyncSession`` calls this in its ``run_sync``), and ``LedgerMismatch`` where the database
    has no table of ours: it is not the ledger's, or was never migrated.
    """
    if isinstance(caller, Session):
        connection = caller.connection()
    elif isinstance(caller, Connection):
        connection = caller
    else:
        raise Misconfigured(
            f"submit_in needs a Session or Connection of SQLAlchemy, not a {type(caller).__name__}"
        )
    if connection.dialect.name not in _KNOWN:
        raise Misconfigured(
            f"the session is on a {connection.dialect.name} database, which is not the ledger's"
        )
    try:
        item_id = submit(connection, new, promise)
    except DBAPIError as error:
        if (lacking := lacks(error)) is None:
            raise
        raise LedgerMismatch(
            f"the session's database has no {lacking}: is it the ledger's, and up to date by"
            " `tierqueue migrate`?",
            {"lacking": lacking},
        ) from error
    _once_committed(caller, committed)
    return item_id


_owed: WeakKeyDictionary[Session | Connection, list[Callable[[], None]]] = WeakKeyDictionary()
"""What each caller's open transaction is to be followed by."""


def _once_committed(caller: Session | Connection, committed: Callable[[], None]) -> None:
    """Call ``committed`` at the end of this transaction, if it commits."""
    if caller in _owed:
        _owed[caller].append(committed)
        return
    _owed[caller] = [committed]
    if isinstance(caller, Session):
        event.listen(caller, "after_commit", _follow)
        event.listen(caller, "after_rollback", _drop)
    else:
        # Core tells of a commit as it begins: a round too early is followed by the tick's.
        event.listen(caller, "commit", _follow)
        event.listen(caller, "rollback", _drop)


def _follow(caller: Session | Connection) -> None:
    owed, _owed[caller] = _owed[caller], []
    for committed in owed:
        committed()


def _drop(caller: Session | Connection) -> None:
    _owed[caller] = []
