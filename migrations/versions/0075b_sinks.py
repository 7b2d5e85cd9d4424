"""Jobs whose rows go back into somebody's table, and which of them are written."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0075b"
down_revision: str | None = "0075a"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sinks",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("written", sa.Integer(), nullable=False),
        sa.Column("after", sa.Integer()),
        sa.Column("ended", sa.Integer(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("look_at", sa.BigInteger()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("failed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("job_id", name="pk_sinks"),
    )
    _index("ix_sinks_look_at", "sinks", ["look_at"], "look_at IS NOT NULL")
    op.create_table(
        "sink_rows",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("key", sa.JSON(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("written", sa.Boolean(), nullable=False),
        sa.Column("refused", sa.Text()),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_sink_rows"),
    )
    _index("ix_sink_rows_left", "sink_rows", ["job_id", "number"], "NOT written")
    _index("ix_sink_rows_refused", "sink_rows", ["job_id"], "refused IS NOT NULL")
    op.create_index("ix_sink_rows_item_id", "sink_rows", ["item_id"])


def downgrade() -> None:
    op.drop_table("sink_rows")
    op.drop_table("sinks")


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    only = sa.text(where)
    op.create_index(name, table, columns, postgresql_where=only, sqlite_where=only)
