"""Attempts that were booked without the provider's word, found without reading all others."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_BOOKED = sa.text("outcome IN ('unknown', 'lost')")


def upgrade() -> None:
    op.create_index(
        "ix_attempts_booked",
        "attempts",
        ["item_id"],
        postgresql_where=_BOOKED,
        sqlite_where=_BOOKED,
    )


def downgrade() -> None:
    op.drop_index("ix_attempts_booked", "attempts")
