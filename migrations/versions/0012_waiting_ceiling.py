"""The balance that an item waits for, beside the code that says that it does."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("items", sa.Column("ceiling", sa.Text()))


def downgrade() -> None:
    op.drop_column("items", "ceiling")
