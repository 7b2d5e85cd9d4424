"""Connections to PostgreSQL: what stops holds no lock, and no plan is kept for long."""

import math
import time
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError

from tierqueue.ledger.json_text import decoded

FRESH_SECONDS = 0.25
"""Seconds after a transaction in which its connection is taken to be alive still."""

PLANS_SECONDS = 1.0
"""Seconds for which PostgreSQL goes by the plan it made for a statement."""


def connect(url: str, pool_size: int, frozen_seconds: float) -> Engine:
    """Connections to a PostgreSQL database, made on first use.

    ``frozen_seconds``: after how long a transaction of a process that has stopped is rolled back.
    """
    made = create_engine(
        url,
        pool_size=pool_size,
        pool_timeout=10,
        # The connection that was used last has its plans still, and needs no proof.
        pool_use_lifo=True,
        json_deserializer=decoded,
        # An error that quotes its parameters would carry prompts into logs.
        hide_parameters=True,
    )

    @event.listens_for(made, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.execute(
            f"SET idle_in_transaction_session_timeout = {round(frozen_seconds * 1000)}"
        )
        connection.commit()

    @event.listens_for(made, "checkin")
    def _rest(_connection: Any, record: Any) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(made, "checkout")
    def _plan_anew(connection: Any, record: Any, _proxy: Any) -> None:
        # A plan made while a table was small would go on scanning it whole as it grows, and to plan
        # each time costs more than to execute. It also proves, as pre-ping does before every
        # transaction, that the connection is alive: one that was used just now needs no proof.
        at = time.monotonic()
        rested = at - record.info.get("rests_since", -math.inf)
        if rested < FRESH_SECONDS and at - record.info["planned_at"] < PLANS_SECONDS:
            return
        try:
            connection.autocommit = True
            connection.execute("DISCARD PLANS")
            connection.autocommit = False
        except made.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError("the database has closed this connection") from error
        record.info["planned_at"] = at

    @event.listens_for(made, "do_executemany")
    def _one_by_one(cursor: Any, statement: str, rows: Any, _context: Any) -> bool:
        # The driver would send them as a pipeline, after which PostgreSQL does not count the time
        # of a process that is stopped: it would hold its locks for ever.
        for row in rows:
            cursor.execute(statement, row)
        return True

    return made
