"""The one tier that an evaluation asks."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0033"
down_revision: str | None = "0028"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("items", sa.Column("pinned", sa.Text()))


def downgrade() -> None:
    op.drop_column("items", "pinned")
