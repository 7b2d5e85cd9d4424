"""The rows of a job's file: which item answers each, so that the file is given back whole."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0014"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_IN_RUN = "run IS NOT NULL"
_OPEN_RUN = "run IS NOT NULL AND NOT complete AND cancelled_at IS NULL"
_ASKED, _SHARED = "fingerprint IS NOT NULL", "fingerprint IS NULL"


def _index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    only = sa.text(where)
    op.create_index(name, table, columns, unique=unique, postgresql_where=only, sqlite_where=only)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("run", sa.Text()))
    op.add_column("jobs", sa.Column("path", sa.Text()))
    op.add_column("jobs", sa.Column("reading", sa.JSON(none_as_null=True)))
    _index("ix_jobs_run", "jobs", ["run", "submitted_at"], _IN_RUN)
    _index("ix_jobs_open_run", "jobs", ["run"], _OPEN_RUN, unique=True)
    op.create_table(
        "job_rows",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text()),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_job_rows"),
    )
    _index("ix_job_rows_fingerprint", "job_rows", ["fingerprint"], _ASKED)
    _index("ix_job_rows_shared", "job_rows", ["item_id"], _SHARED)


def downgrade() -> None:
    op.drop_table("job_rows")
    op.drop_index("ix_jobs_open_run", "jobs")
    op.drop_index("ix_jobs_run", "jobs")
    for name in ("reading", "path", "run"):
        op.drop_column("jobs", name)
