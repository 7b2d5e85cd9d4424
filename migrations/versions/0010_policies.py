"""The policy in force, under which policy an item was routed, and what it stated itself."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("items", sa.Column("stated", sa.JSON()))
    op.add_column("items", sa.Column("policy", sa.Text()))
    op.create_table(
        "policies",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_policies"),
    )


def downgrade() -> None:
    op.drop_table("policies")
    op.drop_column("items", "policy")
    op.drop_column("items", "stated")
