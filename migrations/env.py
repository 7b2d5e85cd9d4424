"""Alembic's way to the ledger: the connection it is given, or a developer's own URL."""

import os

from alembic import context
from sqlalchemy import Connection

from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import metadata
from tierqueue.router.errors import Misconfigured


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    if not (url := os.environ.get("TIERQUEUE_LEDGER_URL")):
        raise Misconfigured("TIERQUEUE_LEDGER_URL is not set: which database is meant?")
    ledger = Ledger(url, pool_size=1)
    try:
        with ledger.write() as connection:
            _run(connection)
    finally:
        ledger.close()
