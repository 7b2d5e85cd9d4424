"""The first pages of a row that goes back into a table, so that its citations name them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0077"
down_revision: str | None = "0076"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("sink_rows", sa.Column("pages", sa.JSON()))


def downgrade() -> None:
    op.drop_column("sink_rows", "pages")
