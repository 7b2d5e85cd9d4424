"""A database whose tables are not those this code asks for, told from one that cannot be asked."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tierqueue.router.errors import LedgerMismatch

NEVER_MIGRATED = "the ledger was never migrated"

_SQLITE = re.compile(r"no such (table|column): (\S+)|table (\S+) has no column named (\S+)")
_POSTGRESQL = {"42P01": "table", "42703": "column"}
"""How PostgreSQL says that there is no such thing."""


def lacks(error: BaseException) -> str | None:
    """What the database lacks, such as ``table items``; ``None`` for any other error."""
    if not isinstance(error, DBAPIError):
        return None
    said = str(error.orig).partition("\n")[0]
    if (kind := _POSTGRESQL.get(getattr(error.orig, "sqlstate", None) or "")) is not None:
        named = re.search(r'"([^"]*)"', said)
        return f"{kind} {named[1]}" if named else kind
    if (found := _SQLITE.search(said)) is None:
        return None
    kind, name, table, column = found.groups()
    return f"{kind} {name}" if kind else f"column {table}.{column}"


def to_migrate(engine: Engine) -> str:
    """What to run. A path that is relative leads to another file from another folder, so a file
    is named; of any other database nothing is, for its address holds a password.
    """
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    return f"run `tierqueue migrate`{f', if {Path(file).absolute()} is the one' if file else ''}"


@contextmanager
def of_this_schema(engine: Engine) -> Iterator[None]:
    """Raises ``LedgerMismatch`` for what is asked within, where the database lacks some of it."""
    try:
        yield
    except DBAPIError as error:
        if (lacking := lacks(error)) is None:
            raise
        raise _mismatch(engine, lacking) from error


def _mismatch(engine: Engine, lacking: str) -> LedgerMismatch:
    """What to run, for a ledger that lacks something; the URL is in no word of it."""
    try:
        with engine.connect() as connection:
            found = _revision(connection)
    except DBAPIError:
        found = None
    if found is None:
        said = f"{NEVER_MIGRATED}: {to_migrate(engine)}"
    else:
        said = (
            f"the ledger is at revision {found} and has no {lacking}, which this tierqueue needs:"
            " run `tierqueue migrate`; if a newer tierqueue has migrated it, install that one here"
        )
    return LedgerMismatch(said, {"found": found, "lacking": lacking})


def _revision(connection: Connection) -> str | None:
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
