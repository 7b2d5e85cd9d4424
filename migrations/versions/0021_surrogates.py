"""Surrogates: what is audited of them, and which were switched off."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_PENDING = "answer IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "surrogate_audits",
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.Column("agreed", sa.Boolean()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_surrogate_audits"),
    )
    op.create_index(
        "ix_surrogate_audits_pending",
        "surrogate_audits",
        ["item_id"],
        postgresql_where=sa.text(_PENDING),
        sqlite_where=sa.text(_PENDING),
    )
    op.create_index("ix_surrogate_audits_version", "surrogate_audits", ["version", "at"])
    op.create_table(
        "surrogates_off",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("differed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_surrogates_off"),
    )


def downgrade() -> None:
    op.drop_table("surrogates_off")
    op.drop_index("ix_surrogate_audits_version", "surrogate_audits")
    op.drop_index("ix_surrogate_audits_pending", "surrogate_audits")
    op.drop_table("surrogate_audits")
