"""A deployment's condition over all processes: whether it serves, and since when not."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "conditions",
        sa.Column("deployment", sa.Text().with_variant(sa.Text(collation="C"), "postgresql")),
        sa.Column("code", sa.Text()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger()),
        sa.Column("until", sa.BigInteger()),
        sa.Column("faults", sa.Integer(), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column("faulted_at", sa.BigInteger()),
        sa.Column("faulted_by", sa.Text()),
        sa.Column("served_at", sa.BigInteger()),
        sa.Column("probe", sa.Text()),
        sa.Column("probe_until", sa.BigInteger()),
        sa.Column("told_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("deployment", name="pk_conditions"),
    )


def downgrade() -> None:
    op.drop_table("conditions")
