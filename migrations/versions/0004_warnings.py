"""Warnings before a ceiling is reached, and which dead letters the hook was told of."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_UNHOOKED = "state = 'dead' AND reason = 'cost_ceiling' AND hooked_at IS NULL"


def upgrade() -> None:
    op.add_column("items", sa.Column("hooked_at", sa.BigInteger()))
    op.create_index(
        "ix_items_unhooked",
        "items",
        ["ended_at"],
        postgresql_where=sa.text(_UNHOOKED),
        sqlite_where=sa.text(_UNHOOKED),
    )
    op.create_index("ix_balances_start", "balances", ["start"])
    op.create_table(
        "ceiling_warnings",
        sa.Column("balance_id", _ID, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("balance_id", "what", "limit", name="pk_ceiling_warnings"),
    )
    op.create_table(
        "ceiling_marks",
        sa.Column("balance_id", _ID, nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("balance_id", name="pk_ceiling_marks"),
    )


def downgrade() -> None:
    op.drop_table("ceiling_marks")
    op.drop_table("ceiling_warnings")
    op.drop_index("ix_balances_start", "balances")
    op.drop_index("ix_items_unhooked", "items")
    op.drop_column("items", "hooked_at")
