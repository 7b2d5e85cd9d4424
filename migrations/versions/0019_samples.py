"""A job of which a sample was submitted first: which rows, and what its other rows are asked."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("sample", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("jobs", "sample")
