"""An index of waits for a time, beside any number of documents that wait for their pieces."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0076"
down_revision: str | None = "0075c"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    only = sa.text("state = 'waiting' AND (reason IS NULL OR reason <> 'pieces')")
    op.create_index(
        "ix_items_due", "items", ["state", "ready_at"], postgresql_where=only, sqlite_where=only
    )


def downgrade() -> None:
    op.drop_index("ix_items_due", "items")
