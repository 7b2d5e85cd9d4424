"""With which items an item shares a tier, and when it is due among them.

What is there already, and what older processes write, is in a flow without a name and due at once.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SUBMITTED, _ROUTED = sa.text("state = 'submitted'"), sa.text("state = 'routed'")


def upgrade() -> None:
    op.add_column("items", sa.Column("flow", _NAME, nullable=False, server_default=""))
    op.add_column("items", sa.Column("due", sa.BigInteger(), nullable=False, server_default="0"))
    _in_order(["flow", "due", "id"])


def downgrade() -> None:
    _in_order([sa.text("priority DESC"), "id"])
    op.drop_column("items", "due")
    op.drop_column("items", "flow")


def _in_order(columns: list[str | sa.TextClause]) -> None:
    op.drop_index("ix_items_submitted", table_name="items")
    op.drop_index("ix_items_routed", table_name="items")
    op.create_index(
        "ix_items_submitted",
        "items",
        columns,
        postgresql_where=_SUBMITTED,
        sqlite_where=_SUBMITTED,
    )
    op.create_index(
        "ix_items_routed",
        "items",
        ["tier", *columns],
        postgresql_where=_ROUTED,
        sqlite_where=_ROUTED,
    )
