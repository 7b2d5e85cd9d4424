"""Since when a limit that an operator set holds without a break: what was called before it may not
have been counted.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0080"
down_revision: str | None = "0078"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("limits", sa.Column("since", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("limits", "since")
