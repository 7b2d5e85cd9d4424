"""Items that wait for a person's decision, and the answers that were refused of them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0035"
down_revision: str | None = "0034"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_OPEN = sa.text("decided_at IS NULL")


def upgrade() -> None:
    identity = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "reviews",
        sa.Column("item_id", identity, nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=True),
        sa.Column("parked_at", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("item_id", name="pk_reviews"),
    )
    op.create_index(
        "ix_reviews_open", "reviews", ["due"], postgresql_where=_OPEN, sqlite_where=_OPEN
    )
    op.create_table(
        "refused_answers",
        sa.Column("item_id", identity, nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("item_id", "fence", name="pk_refused_answers"),
    )


def downgrade() -> None:
    op.drop_table("refused_answers")
    op.drop_table("reviews")
