"""Reuse of an item's accepted answer for another that asks the same."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0056"
down_revision: str | None = "0052"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column(
        "items", sa.Column("fresh", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "reusable",
        sa.Column("key", _ID, nullable=False),
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_reusable"),
    )
    op.create_index("ix_reusable_item_id", "reusable", ["item_id"])
    op.create_index("ix_reusable_at", "reusable", ["at"])


def downgrade() -> None:
    op.drop_table("reusable")
    op.drop_column("items", "fresh")
