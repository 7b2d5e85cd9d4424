"""Learned limits of deployments."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0075"
down_revision: str | None = "0074"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    identity = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "learned_limits",
        sa.Column("deployment", identity, nullable=False),
        sa.Column("name", identity, nullable=False),
        sa.Column("how", identity, nullable=False),
        sa.Column("rate", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "name", "how", name="pk_learned_limits"),
    )


def downgrade() -> None:
    op.drop_table("learned_limits")
