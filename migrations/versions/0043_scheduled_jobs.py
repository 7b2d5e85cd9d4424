"""Schedules whose runs are jobs over a file or a table."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0043"
down_revision: str | None = "0042"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("schedules", sa.Column("source", sa.JSON(none_as_null=True)))
    op.add_column("schedule_runs", sa.Column("job_id", _ID))
    op.add_column("schedule_runs", sa.Column("lease_until", sa.BigInteger()))
    only = sa.text("lease_until IS NOT NULL")
    op.create_index(
        "ix_schedule_runs_lease_until",
        "schedule_runs",
        ["lease_until"],
        postgresql_where=only,
        sqlite_where=only,
    )


def downgrade() -> None:
    op.drop_index("ix_schedule_runs_lease_until", "schedule_runs")
    for table, name in (
        ("schedule_runs", "lease_until"),
        ("schedule_runs", "job_id"),
        ("schedules", "source"),
    ):
        op.drop_column(table, name)
