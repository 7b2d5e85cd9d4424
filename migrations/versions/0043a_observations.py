"""Observations of each deployment's recent replies."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0043a"
down_revision: str | None = "0043"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    identity = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "observations",
        sa.Column("deployment", identity, nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "asked", "what", "value", name="pk_observations"),
    )


def downgrade() -> None:
    op.drop_table("observations")
