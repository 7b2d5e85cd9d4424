"""The images that items carry: how large each is, and its bytes, once."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0058"
down_revision: str | None = "0056"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("items", sa.Column("images", sa.JSON()))
    op.create_table(
        "contents",
        sa.Column("sha256", _ID, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("kept_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_contents"),
    )
    op.create_table(
        "item_contents",
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("sha256", _ID, nullable=False),
        sa.PrimaryKeyConstraint("item_id", "sha256", name="pk_item_contents"),
    )
    op.create_index("ix_item_contents_sha256", "item_contents", ["sha256"])


def downgrade() -> None:
    op.drop_table("item_contents")
    op.drop_table("contents")
    op.drop_column("items", "images")
