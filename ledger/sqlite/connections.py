"""Connections to a SQLite file.

SQLite's own driver begins a transaction lazily and upgrades it on the first write, which loses
updates and raises busy errors between processes; every write here starts with BEGIN IMMEDIATE.
"""

from typing import Any

from sqlalchemy import Engine, create_engine, event

from tierqueue.ledger.json_text import decoded


def connect(url: str, pool_size: int, busy: float, *, read_only: bool = False) -> Engine:
    """Connections to a SQLite file, made on first use; ``busy``: the seconds each waits for it."""
    made = create_engine(
        url,
        pool_size=pool_size,
        # The connection that was used last has the file's pages still.
        pool_use_lifo=True,
        json_deserializer=decoded,
        # An error that quotes its parameters would carry prompts into logs.
        hide_parameters=True,
        connect_args={"timeout": busy, "check_same_thread": False},
    )

    @event.listens_for(made, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA cache_size = -65536")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    def do_begin(dbapi_connection: Any) -> None:
        dbapi_connection.execute(begin)

    # As a statement of SQLAlchemy's own it would cost as much as the question that follows.
    made.dialect.do_begin = do_begin  # type: ignore[method-assign]
    return made
