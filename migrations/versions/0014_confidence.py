"""A model's confidence in an answer, and the least that an item demands."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("items", sa.Column("min_confidence", sa.Double()))
    op.add_column("attempts", sa.Column("confidence", sa.Double()))


def downgrade() -> None:
    op.drop_column("attempts", "confidence")
    op.drop_column("items", "min_confidence")
