"""The first tables: items, promises, attempts, ceilings and their books, jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    _items()
    _promises()
    _attempts()
    _ceilings()
    _balances()
    _entries()
    _ceiling_changes()
    _jobs()
    _tiers()
    _raw_messages()
    _actions()


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("id", _ID, nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("arguments", _JSON),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("prompt_bytes", sa.Integer(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("output_limit", sa.Integer(), nullable=False),
        sa.Column("risk", sa.Text()),
        sa.Column("sensitivity", sa.Text()),
        sa.Column("latency", sa.Text()),
        sa.Column("deadline", sa.BigInteger()),
        sa.Column("max_cost", sa.BigInteger()),
        sa.Column("floor", sa.Text()),
        sa.Column("budget", sa.Text()),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("metadata", _JSON),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("job_id", _ID),
        sa.Column("job_index", sa.Integer()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("tier", sa.Text()),
        sa.Column("deployment", sa.Text()),
        sa.Column("route", _JSON),
        sa.Column("bound", sa.BigInteger()),
        sa.Column("token_bound", sa.Integer()),
        sa.Column("ready_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("lost_claims", sa.Integer(), nullable=False),
        sa.Column("throttles", sa.Integer(), nullable=False),
        sa.Column("refused_by", _JSON),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("output", _JSON),
        sa.Column("receipt", _JSON),
        sa.Column("error", _JSON),
        sa.Column("submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
    )
    _partial_index(
        "ix_items_dead",
        "items",
        ["ended_at"],
        "state = 'dead'",
    )
    _partial_index(
        "ix_items_deadline",
        "items",
        ["deadline"],
        "ended_at IS NULL",
    )
    _partial_index(
        "ix_items_idempotency_key",
        "items",
        ["idempotency_key"],
        "idempotency_key IS NOT NULL",
        unique=True,
    )
    _partial_index(
        "ix_items_job",
        "items",
        ["job_id", "job_index"],
        "job_id IS NOT NULL",
        unique=True,
    )
    _partial_index(
        "ix_items_queued",
        "items",
        ["tier", "ready_at"],
        "state = 'queued'",
    )
    _partial_index(
        "ix_items_routed",
        "items",
        ["tier", sa.text("priority DESC"), "id"],
        "state = 'routed'",
    )
    _partial_index(
        "ix_items_running",
        "items",
        ["lease_until"],
        "state = 'running'",
    )
    _partial_index(
        "ix_items_submitted",
        "items",
        [sa.text("priority DESC"), "id"],
        "state = 'submitted'",
    )
    _partial_index(
        "ix_items_suspect",
        "items",
        ["tier"],
        "lost_claims > 0 AND ended_at IS NULL",
    )
    _partial_index(
        "ix_items_waiting",
        "items",
        ["ready_at"],
        "state = 'waiting'",
    )


def _promises() -> None:
    op.create_table(
        "promises",
        sa.Column("id", _ID, nullable=False),
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text()),
        sa.Column("group_index", sa.Integer()),
        sa.Column("chord", _JSON),
        sa.Column("chain", _JSON),
        sa.Column("callbacks", _JSON),
        sa.Column("errbacks", _JSON),
        sa.Column("root_id", sa.Text()),
        sa.Column("parent_id", sa.Text()),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("kept_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_promises"),
    )
    _partial_index(
        "ix_promises_unkept",
        "promises",
        ["item_id"],
        "kept_at IS NULL",
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("deployment", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("metered", sa.Boolean(), nullable=False),
        sa.Column("balances", _JSON, nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("outcome", sa.Text()),
        sa.Column("cost", sa.BigInteger()),
        sa.Column("price_source", sa.Text()),
        sa.Column("usage", _JSON),
        sa.Column("seconds", sa.Double()),
        sa.Column("simulated", sa.Boolean()),
        sa.Column("detail", _JSON),
        sa.PrimaryKeyConstraint("item_id", "fence", name="pk_attempts"),
    )
    _partial_index(
        "ix_attempts_open",
        "attempts",
        ["started_at"],
        "ended_at IS NULL",
    )


def _ceilings() -> None:
    op.create_table(
        "ceilings",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", "window", name="pk_ceilings"),
    )


def _balances() -> None:
    op.create_table(
        "balances",
        sa.Column("id", _ID, nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("peak", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_balances"),
    )


def _entries() -> None:
    op.create_table(
        "entries",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("balance_id", _ID, nullable=False),
        sa.Column("item_id", _ID, nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_entries"),
    )


def _ceiling_changes() -> None:
    op.create_table(
        "ceiling_changes",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("before", sa.BigInteger()),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ceiling_changes"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("max_cost", sa.BigInteger()),
        sa.Column("submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )


def _tiers() -> None:
    op.create_table(
        "tiers",
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("concurrency", sa.Integer()),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tier", name="pk_tiers"),
    )


def _raw_messages() -> None:
    op.create_table(
        "raw_messages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", _JSON),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_raw_messages"),
    )


def _actions() -> None:
    op.create_table(
        "actions",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("detail", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_actions"),
    )


def _partial_index(
    name: str, table: str, columns: list[str | sa.TextClause], where: str, *, unique: bool = False
) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        postgresql_where=sa.text(where),
        sqlite_where=sa.text(where),
    )
