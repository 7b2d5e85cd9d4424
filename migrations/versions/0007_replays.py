"""A replay owes its promises anew, and a chord that failed of its part may yet be sent its body."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_JOINED = sa.text("id <> item_id")


def upgrade() -> None:
    op.add_column("promises", sa.Column("replays", sa.Integer()))
    op.add_column("chords", sa.Column("failed_at", sa.BigInteger()))
    op.create_index(
        "ix_promises_joined",
        "promises",
        ["item_id"],
        postgresql_where=_JOINED,
        sqlite_where=_JOINED,
    )


def downgrade() -> None:
    op.drop_index("ix_promises_joined", "promises")
    op.drop_column("chords", "failed_at")
    op.drop_column("promises", "replays")
