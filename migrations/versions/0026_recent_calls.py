"""The calls of a provider's deployment by when they began, for a limiter that forgot them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | None = "0024"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "ix_attempts_recent",
        "attempts",
        ["deployment", "started_at"],
        sqlite_where=sa.text("tier <> 'gpu'"),
        postgresql_where=sa.text("tier <> 'gpu'"),
    )


def downgrade() -> None:
    op.drop_index("ix_attempts_recent", table_name="attempts")
