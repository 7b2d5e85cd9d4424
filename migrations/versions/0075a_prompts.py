"""Second prompts of task types: their texts, and which items are asked under one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0075a"
down_revision: str | None = "0075"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "prompts",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_prompts"),
    )
    op.add_column("items", sa.Column("prompt", sa.Text()))


def downgrade() -> None:
    op.drop_column("items", "prompt")
    op.drop_table("prompts")
