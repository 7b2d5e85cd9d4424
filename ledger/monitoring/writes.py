"""The proof that the ledger takes writes, by writing: reading may go on without."""

import errno
import os
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.session import READ_ONLY, Ledger, unreachable

PATIENCE_SECONDS = 3.0
"""For which a lock is waited for: writers hold theirs for milliseconds."""

Cause = Literal["locked", "full", "read_only"]

_SQLITE: dict[int, Cause] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_FULL: "full",
    # What a full disk is where the file to grow is the shared memory of its readers.
    sqlite3.SQLITE_IOERR: "full",
}
_POSTGRESQL: dict[str, Cause] = {READ_ONLY: "read_only", "53100": "full", "55P03": "locked"}
_SYSTEM: dict[int, Cause] = {
    errno.EAGAIN: "locked",
    errno.EROFS: "read_only",
    errno.EACCES: "read_only",
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
}


@dataclass(frozen=True, slots=True)
class WriteRefusal:
    """Why nothing can be written: the cause, and what the database said, without a row of it."""

    cause: Cause
    said: str


def refused(ledger: Ledger) -> WriteRefusal | None:
    """Try to write; returns why that cannot be done now, and ``None`` where it can.

    Raises what says anything else, that the database is away for one.
    """
    url = ledger.engine.url.render_as_string(hide_password=False)
    own = f"looking@{socket.gethostname()}:{os.getpid()}"
    try:
        with (
            closing(Ledger(url, pool_size=1, patience_seconds=PATIENCE_SECONDS)) as asked,
            asked.write() as connection,
        ):
            be_hasty(connection)
            # Committed, since a full disk is found by nothing else, and gone again at once.
            progress.beat(connection, own, kind="looking", tier=None, detail={})
            progress.leave(connection, own)
    except DBAPIError as error:
        found = refusal(error)
        if found is None:
            raise
        return found
    return None


def be_hasty(connection: Connection) -> None:
    """Wait for no lock of PostgreSQL's for longer than ``PATIENCE_SECONDS`` in this transaction."""
    if connection.dialect.name == "postgresql":
        limit = f"SET LOCAL lock_timeout = {round(PATIENCE_SECONDS * 1000)}"
        connection.execute(text(limit))


def refusal(error: BaseException) -> WriteRefusal | None:
    """What ``error`` says of a ledger that takes no writes; ``None`` for any other error."""
    if not isinstance(error, DBAPIError) or not unreachable(error):
        return None
    said = error.orig
    cause: Cause | None = None
    if isinstance(said, OSError):
        cause = _SYSTEM.get(said.errno or errno.EAGAIN)
    elif isinstance(said, sqlite3.Error):
        cause = _SQLITE.get(getattr(said, "sqlite_errorcode", 0) & 0xFF)
    elif said is not None:
        cause = _POSTGRESQL.get(getattr(said, "sqlstate", None) or "")
    return None if cause is None else WriteRefusal(cause, str(said).partition("\n")[0])
