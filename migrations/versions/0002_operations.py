"""Tables of operators: pauses, heartbeats, announced dead letters, erasure, chords of our own."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    for name in ("announced_at", "key_expires_at", "erased_at"):
        op.add_column("items", sa.Column(name, sa.BigInteger()))
    op.add_column("promises", sa.Column("followed_at", sa.BigInteger()))
    unannounced = "state = 'dead' AND announced_at IS NULL"
    _partial_index("ix_items_unannounced", "items", "ended_at", where=unannounced)
    retained = "ended_at IS NOT NULL AND erased_at IS NULL"
    _partial_index("ix_items_retained", "items", "ended_at", where=retained)
    expiring = "key_expires_at IS NOT NULL"
    _partial_index("ix_items_key_expires_at", "items", "key_expires_at", where=expiring)
    in_group = ("group_id", "group_index")
    _partial_index("ix_promises_group_id", "promises", *in_group, where="group_id IS NOT NULL")
    op.create_table(
        "chords",
        sa.Column("group_id", _ID, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("body_sent_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("group_id", name="pk_chords"),
    )
    op.create_table(
        "pauses",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_pauses"),
    )
    op.create_table(
        "processes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text()),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("detail", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_processes"),
    )


def _partial_index(name: str, table: str, *columns: str, where: str) -> None:
    op.create_index(
        name,
        table,
        list(columns),
        postgresql_where=sa.text(where),
        sqlite_where=sa.text(where),
    )
