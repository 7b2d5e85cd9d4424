"""Items in the order they were submitted: lists of the newest, pages that stay flat."""

from collections.abc import Sequence

from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("ix_items_submitted_at", "items", ["submitted_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_items_submitted_at", table_name="items")
