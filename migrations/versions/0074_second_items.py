"""Items that answer a second time what another one was accepted for."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0074"
down_revision: str | None = "0060"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("items", sa.Column("purpose", sa.Text()))
    op.add_column("items", sa.Column("second_to", _ID))
    op.add_column("items", sa.Column("candidate", sa.Text()))
    where = sa.text("second_to IS NOT NULL")
    op.create_index(
        "ix_items_second_to",
        "items",
        ["second_to", "purpose"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def downgrade() -> None:
    op.drop_index("ix_items_second_to", table_name="items")
    op.drop_column("items", "candidate")
    op.drop_column("items", "second_to")
    op.drop_column("items", "purpose")
