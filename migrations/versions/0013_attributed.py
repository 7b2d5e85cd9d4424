"""An item's charge for engines of the house, which no ceiling counts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    column = sa.Column("attributed", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("items", column)


def downgrade() -> None:
    op.drop_column("items", "attributed")
