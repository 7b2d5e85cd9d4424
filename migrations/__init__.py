"""Migrations: the ledger's tables from nothing to what this code expects, without a checkout.

Every upgrade is one transaction; processes that upgrade at once go one after the other.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from tierqueue.ledger.schema import NEVER_MIGRATED, to_migrate
from tierqueue.ledger.session import Ledger
from tierqueue.router.errors import LedgerMismatch

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

# An arbitrary number that names "somebody migrates this ledger" among PostgreSQL's locks.
_ADVISORY_LOCK = 7_163_902_115

_FROZEN_SECONDS = 60.0
"""Seconds an upgrade may stand still in its transaction: it reads its steps there, and a busy
machine takes its time. Whoever was stopped for longer has upgraded nothing."""

_VERSIONS = Path(__file__).parent / "versions"


def upgrade(url: str) -> str:
    """Bring the database at ``url`` to this code's revision; returns that revision.

    A database that is there already is left alone; raises ``LedgerMismatch`` for one that a newer
    tierqueue has migrated.
    """
    from alembic import command

    ledger = Ledger(url, pool_size=1, frozen_seconds=_FROZEN_SECONDS)
    try:
        # On SQLite the transaction itself is the lock: it begins with BEGIN IMMEDIATE.
        with ledger.write() as connection:
            if ledger.dialect == "postgresql":
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK}
                )
            _refuse_the_future(_revision(connection))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        ledger.close()
    return head()


def current(url: str) -> str | None:
    """The revision of the database at ``url``; ``None`` where nothing was ever migrated."""
    ledger = Ledger(url, pool_size=1)
    try:
        with ledger.read() as connection:
            return _revision(connection)
    finally:
        ledger.close()


def head() -> str:
    """The revision this code expects."""
    found = _scripts().get_current_head()
    assert found is not None
    return found


def check(ledger: Ledger) -> None:
    """Raise ``LedgerMismatch`` unless the database is at exactly the revision this code expects."""
    with ledger.read() as connection:
        found = _revision(connection)
    if found == _newest():
        return
    _refuse_the_future(found)
    if found != (expected := head()):
        was = NEVER_MIGRATED if found is None else f"the ledger is at revision {found}"
        run = to_migrate(ledger.engine) if found is None else "run `tierqueue migrate`"
        raise LedgerMismatch(
            f"{was}, this tierqueue expects {expected}: {run}",
            {"found": found, "expected": expected},
        )


def _refuse_the_future(found: str | None) -> None:
    if found is None or any(script.revision == found for script in _scripts().walk_revisions()):
        return
    expected = head()
    raise LedgerMismatch(
        f"the ledger is at revision {found}, which this tierqueue does not know (it knows up to"
        f" {expected}): a newer tierqueue has migrated it, so install that one here",
        {"found": found, "expected": expected},
    )


def _revision(connection: Connection) -> str | None:
    """What Alembic has written of this database, read without Alembic: every command asks."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _newest() -> str:
    """The newest revision by the names of its files, which begin with it."""
    return max(path.name for path in _VERSIONS.glob("[0-9]*_*.py")).split("_")[0]


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    # A percent sign in the path would be read as an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())
