"""The deployments that cannot hold an item."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("items", sa.Column("too_small", sa.JSON()))


def downgrade() -> None:
    op.drop_column("items", "too_small")
