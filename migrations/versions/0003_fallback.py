"""An item's permitted fallback, and whether it was taken."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.add_column("items", sa.Column("fallback", _JSON))
    op.add_column("items", sa.Column("degraded", _JSON))


def downgrade() -> None:
    op.drop_column("items", "degraded")
    op.drop_column("items", "fallback")
