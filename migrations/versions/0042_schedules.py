"""Schedules: what comes again, and each time it did."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0042"
down_revision: str | None = "0041"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("name", _ID, nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("call", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("cron", sa.Text()),
        sa.Column("every", sa.BigInteger()),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("missed", sa.Text(), nullable=False),
        sa.Column("next_due", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("name", name="pk_schedules"),
    )
    only = sa.text("paused_at IS NULL")
    op.create_index(
        "ix_schedules_next_due", "schedules", ["next_due"], postgresql_where=only, sqlite_where=only
    )
    op.create_table(
        "schedule_runs",
        sa.Column("schedule", _ID, nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text()),
        sa.Column("item_id", _ID),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("schedule", "due", name="pk_schedule_runs"),
    )


def downgrade() -> None:
    op.drop_table("schedule_runs")
    op.drop_table("schedules")
