"""Migrations on both databases: what they make, whom they refuse, and many at once."""

import multiprocessing
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Index, text

from tests.ledger.moves import Moves
from tierqueue import migrations
from tierqueue.ledger.operations import job_counts, jobs
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import metadata
from tierqueue.router.errors import LedgerMismatch

if TYPE_CHECKING:
    from tests.servers import PostgreSQL

_DEFINITIONS = {
    "sqlite": "SELECT sql FROM sqlite_master WHERE name <> 'alembic_version'"
    " AND tbl_name <> 'alembic_version' AND name NOT LIKE 'sqlite_%' AND type <> 'trigger'",
    "postgresql": "SELECT indexdef FROM pg_indexes"
    " WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    url = server.empty_database()
    yield url
    server.drop(url)


def _definitions(connection: Connection) -> set[str]:
    """Every table's and index's definition as the database itself tells it."""
    rows = connection.execute(text(_DEFINITIONS[connection.dialect.name])).scalars()
    return {re.sub(r"\s+", " ", row).strip() for row in rows}


def test_an_upgrade_makes_the_ledger_this_code_expects(empty_url: str) -> None:
    assert migrations.current(empty_url) is None
    assert migrations.upgrade(empty_url) == migrations.head()
    assert migrations.current(empty_url) == migrations.head()


def test_the_newest_file_name_is_the_revision_that_alembic_ends_at() -> None:
    assert migrations._newest() == migrations.head()


def test_each_migration_follows_the_file_before_it_and_there_is_one_head() -> None:
    scripts = {Path(one.path).name: one for one in migrations._scripts().walk_revisions()}
    names = sorted(path.name for path in migrations._VERSIONS.glob("[0-9]*_*.py"))
    assert sorted(scripts) == names
    revisions = [name.split("_")[0] for name in names]
    assert [scripts[name].revision for name in names] == revisions
    assert [scripts[name].down_revision for name in names] == [None, *revisions[:-1]]
    assert migrations._scripts().get_heads() == revisions[-1:]


def test_an_upgrade_of_an_upgraded_ledger_changes_nothing(ledger_url: str) -> None:
    assert migrations.upgrade(ledger_url) == migrations.head()


def test_the_models_are_what_the_migrations_make(ledger: Ledger) -> None:
    def comparable(name_of: Any, *_: Any) -> bool:
        # SQLite cannot tell an expression's index by column; the next test reads its text.
        return not (isinstance(name_of, Index) and ledger.dialect == "sqlite")

    with ledger.read() as connection, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*expression-based index.*")
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": comparable}
        )
        assert compare_metadata(context, metadata) == []


def test_every_index_of_the_models_is_in_the_migrations_word_for_word(empty_url: str) -> None:
    migrations.upgrade(empty_url)
    ledger = Ledger(empty_url)
    try:
        with ledger.write() as connection:
            migrated = _definitions(connection)
            metadata.drop_all(connection)
            assert _definitions(connection) == set()
            metadata.create_all(connection)
            modelled = _definitions(connection)
    finally:
        ledger.close()
    assert migrated == modelled
    assert sum("WHERE" in table for table in migrated) >= 10


def test_a_ledger_that_was_never_migrated_is_refused_and_told_how(empty_url: str) -> None:
    ledger = Ledger(empty_url)
    try:
        with pytest.raises(LedgerMismatch, match=r"never migrated.*tierqueue migrate"):
            migrations.check(ledger)
    finally:
        ledger.close()


def test_a_ledger_from_the_future_is_refused_and_left_as_it_is(ledger: Ledger) -> None:
    url = ledger.engine.url.render_as_string(hide_password=False)
    with ledger.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerMismatch, match=r"9999.*newer tierqueue"):
        migrations.check(ledger)
    with pytest.raises(LedgerMismatch, match=r"9999.*newer tierqueue"):
        migrations.upgrade(url)
    assert migrations.current(url) == "9999"


@pytest.mark.processes
def test_four_processes_that_upgrade_at_once_all_succeed(empty_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(migrations.upgrade, [empty_url] * 4) == [migrations.head()] * 4


def test_an_upgrade_that_fails_leaves_nothing_behind(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: Any, **__: Any) -> None:
        raise RuntimeError("the power failed")

    monkeypatch.setattr("alembic.op.create_index", break_off)
    with pytest.raises(RuntimeError, match="the power failed"):
        migrations.upgrade(empty_url)
    assert migrations.current(empty_url) is None
    monkeypatch.undo()
    assert migrations.upgrade(empty_url) == migrations.head()


def test_a_step_back_over_the_log_of_moves_loses_none(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    ended = text("UPDATE items SET state = 'succeeded', ended_at = 5000000 WHERE id = :id")
    try:
        moves = Moves(ledger)
        with ledger.write() as connection:
            job = jobs.create(connection, task="t", source="f", max_cost=None, now=1, path="f")
        first, second, third = [
            moves.submit(1, job_id=job, job_index=number)[0] for number in range(3)
        ]
        # As an older release writes: what it moves is in the log alone.
        with ledger.engine.begin() as connection:
            connection.execute(ended, {"id": first})
            config = migrations._config()
            config.attributes["connection"] = connection
            command.downgrade(config, "0077")
            connection.execute(ended, {"id": second})
            own = text("SELECT state, sum(rows) FROM job_counts WHERE part = 'own' GROUP BY state")
            assert dict(map(tuple, connection.execute(own))) == {"submitted": 1, "succeeded": 2}
        migrations.upgrade(sqlite_url)
        with ledger.engine.begin() as connection:
            connection.execute(ended, {"id": third})
        with ledger.read() as connection:
            counted = job_counts.counted(connection, job, 1)
        assert counted.states == {"succeeded": 3}
        assert sum(pace.ends[5] for pace in counted.paces) == 3
    finally:
        ledger.close()
