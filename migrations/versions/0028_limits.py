"""Operators' limits of deployments."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    identity = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "limits",
        sa.Column("deployment", identity, nullable=False),
        sa.Column("name", identity, nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "name", name="pk_limits"),
    )


def downgrade() -> None:
    op.drop_table("limits")
