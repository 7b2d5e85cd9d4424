"""Batches that items are handed over in, and which lane an item goes by."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0021"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COLLECTED = sa.text("state = 'waiting' AND reason = 'batch'")
_HANDED_OVER = sa.text("state = 'handed_over'")
_BATCHED = sa.text("batch IS NOT NULL")
_OPEN = sa.text("ended_at IS NULL")


def upgrade() -> None:
    op.add_column("items", sa.Column("lane", sa.Text()))
    op.add_column("attempts", sa.Column("batch", _ID))
    op.create_table(
        "batches",
        sa.Column("id", _ID, nullable=False),
        sa.Column("deployment", _ID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("formed_at", sa.BigInteger(), nullable=False),
        sa.Column("poll_at", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text()),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("input_file", sa.Text()),
        sa.Column("creating_at", sa.BigInteger()),
        sa.Column("remote", sa.Text()),
        sa.Column("remote_state", sa.Text()),
        sa.Column("cancelled_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("counts", sa.JSON(none_as_null=True)),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    op.create_index(
        "ix_batches_open",
        "batches",
        ["poll_at"],
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    )
    op.create_index(
        "ix_items_collected",
        "items",
        ["deployment", sa.text("priority DESC"), "id"],
        postgresql_where=_COLLECTED,
        sqlite_where=_COLLECTED,
    )
    op.create_index(
        "ix_items_handed_over",
        "items",
        ["deadline"],
        postgresql_where=_HANDED_OVER,
        sqlite_where=_HANDED_OVER,
    )
    op.create_index(
        "ix_attempts_batch",
        "attempts",
        ["batch"],
        postgresql_where=_BATCHED,
        sqlite_where=_BATCHED,
    )


def downgrade() -> None:
    op.drop_index("ix_attempts_batch", "attempts")
    op.drop_index("ix_items_handed_over", "items")
    op.drop_index("ix_items_collected", "items")
    op.drop_table("batches")
    op.drop_column("attempts", "batch")
    op.drop_column("items", "lane")
