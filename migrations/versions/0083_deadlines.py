"""Items without a deadline take no place among those that have one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0083"
down_revision: str | None = "0080a"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    _only("ended_at IS NULL AND deadline IS NOT NULL")


def downgrade() -> None:
    _only("ended_at IS NULL")


def _only(where: str) -> None:
    op.drop_index("ix_items_deadline", "items")
    only = sa.text(where)
    op.create_index(
        "ix_items_deadline", "items", ["deadline"], postgresql_where=only, sqlite_where=only
    )
