"""Durations of answers of engines paid by the hour."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0052"
down_revision: str | None = "0044"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    identity = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "call_seconds",
        sa.Column("task", identity, nullable=False),
        sa.Column("deployment", identity, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("task", "deployment", "size", name="pk_call_seconds"),
    )


def downgrade() -> None:
    op.drop_table("call_seconds")
