"""The time at which a batch was first found over: what its files lack may still come."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0080a"
down_revision: str | None = "0080"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("over_at", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("batches", "over_at")
