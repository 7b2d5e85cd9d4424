"""Documents of a job in pieces: their items are no rows of its file, and are counted apart."""

import re
from collections.abc import Iterator, Sequence
from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision: str = "0075c"
down_revision: str | None = "0075b"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_TRIGGERS = ("count_new_item", "count_moved_item")


def _apart(statement: str) -> str:
    """The statement, with pieces and their documents counted under names of their own."""

    def own(match: re.Match[str]) -> str:
        row = match.group(1)
        return (
            f"{row}.job_id, CASE WHEN {row}.part_of IS NOT NULL THEN 'piece'"
            f" WHEN {row}.split IS NOT NULL THEN 'document' ELSE 'own' END, 0,"
        )

    def ends(match: re.Match[str]) -> str:
        row = match.group(1)
        return (
            f"{row}.job_id, CASE WHEN {row}.part_of IS NOT NULL THEN 'piece' ELSE 'ends' END,"
            f" CASE WHEN {row}.part_of IS NOT NULL THEN 0 ELSE {row}.ended_at / 1000000 END,"
        )

    statement, found = re.subn(r"(\w+)\.job_id, 'own', 0,", own, statement)
    if not found:
        raise AssertionError("the statement counts no items")
    return re.sub(r"(\w+)\.job_id, 'ends', \w+\.ended_at / 1000000,", ends, statement)


def _counting(dialect: str) -> Iterator[str]:
    """What makes the triggers on items, as they were first made."""
    first = import_module("tierqueue.migrations.versions.0041_job_counts")
    if dialect == "sqlite":
        yield from first._SQLITE[:2]  # noqa: SLF001
    else:
        for statement in first._POSTGRESQL[:2]:  # noqa: SLF001
            yield statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


def upgrade() -> None:
    op.add_column("items", sa.Column("part_of", _ID))
    op.add_column("items", sa.Column("split", sa.JSON()))
    only = sa.text("part_of IS NOT NULL")
    op.create_index(
        "ix_items_part_of", "items", ["part_of"], postgresql_where=only, sqlite_where=only
    )
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        _drop()
    for statement in _counting(dialect):
        op.execute(_apart(statement))


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        _drop()
    for statement in _counting(dialect):
        op.execute(statement)
    op.drop_index("ix_items_part_of", "items")
    op.drop_column("items", "split")
    op.drop_column("items", "part_of")


def _drop() -> None:
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
