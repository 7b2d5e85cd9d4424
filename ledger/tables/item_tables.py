"""The tables of work items, of what their producers are owed, and of the claims on them."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, Table, Text, false, text

from tierqueue.ledger.tables.columns import Id, Json, metadata, where

items = Table(
    "items",
    metadata,
    Column("id", Id, primary_key=True),
    Column("task", Text, nullable=False),
    Column("arguments", Json),
    Column("prefix", Text, nullable=False),
    Column("prompt_bytes", Integer, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("output_limit", Integer, nullable=False),
    Column("risk", Text),
    Column("sensitivity", Text),
    Column("latency", Text),
    Column("deadline", BigInteger),
    Column("max_cost", BigInteger),
    Column("floor", Text),
    Column("budget", Text),
    Column("priority", Integer, nullable=False),
    Column("metadata", Json),
    Column("idempotency_key", Text),
    Column("fingerprint", Text, nullable=False),
    Column("job_id", Id),
    Column("job_index", Integer),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("tier", Text),
    Column("deployment", Text),
    Column("route", Json),
    Column("bound", BigInteger),
    Column("token_bound", Integer),
    Column("ready_at", BigInteger, nullable=False),
    Column("lease_until", BigInteger),
    Column("fence", Integer, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("lost_claims", Integer, nullable=False),
    Column("throttles", Integer, nullable=False),
    Column("refused_by", Json),
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("output", Json),
    Column("receipt", Json),
    Column("error", Json),
    Column("submitted_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("announced_at", BigInteger),
    Column("key_expires_at", BigInteger),
    Column("erased_at", BigInteger),
    Column("fallback", Json),
    Column("degraded", Json),
    Column("hooked_at", BigInteger),
    Column("inherits", Text),
    Column("stated", Json),
    Column("policy", Text),
    Column("too_small", Json),
    Column("ceiling", Text),
    Column("attributed", BigInteger, nullable=False, server_default="0"),
    Column("min_confidence", Double),
    Column("flow", Id, nullable=False, server_default=""),
    Column("due", BigInteger, nullable=False, server_default="0"),
    Column("lane", Text),
    Column("pinned", Text),
    Column("shared", Boolean, nullable=False, server_default=false()),
    Column("fresh", Boolean, nullable=False, server_default=false()),
    Column("images", Json),
    Column("purpose", Text),
    Column("second_to", Id),
    Column("candidate", Text),
    Index(
        "ix_items_second_to", "second_to", "purpose", unique=True, **where("second_to IS NOT NULL")
    ),
    Column("prompt", Text),
    Column("part_of", Id),
    Column("split", Json),
    Index("ix_items_submitted_at", "submitted_at", "id"),
    # One small index a state: a move touches only the two it concerns.
    Index("ix_items_submitted", "flow", "due", "id", **where("state = 'submitted'")),
    Index("ix_items_routed", "tier", "flow", "due", "id", **where("state = 'routed'")),
    Index("ix_items_queued", "tier", "ready_at", **where("state = 'queued'")),
    Index("ix_items_waiting", "ready_at", **where("state = 'waiting'")),
    # By its state too, which no other has: else SQLite takes the one above.
    Index(
        "ix_items_due",
        "state",
        "ready_at",
        **where("state = 'waiting' AND (reason IS NULL OR reason <> 'pieces')"),
    ),
    Index("ix_items_running", "lease_until", **where("state = 'running'")),
    Index(
        "ix_items_collected",
        "deployment",
        text("priority DESC"),
        "id",
        **where("state = 'waiting' AND reason = 'batch'"),
    ),
    Index("ix_items_handed_over", "deadline", **where("state = 'handed_over'")),
    Index("ix_items_suspect", "tier", **where("lost_claims > 0 AND ended_at IS NULL")),
    Index("ix_items_dead", "ended_at", **where("state = 'dead'")),
    Index("ix_items_unannounced", "ended_at", **where("state = 'dead' AND announced_at IS NULL")),
    Index(
        "ix_items_unhooked",
        "ended_at",
        **where("state = 'dead' AND reason = 'cost_ceiling' AND hooked_at IS NULL"),
    ),
    Index("ix_items_retained", "ended_at", **where("ended_at IS NOT NULL AND erased_at IS NULL")),
    Index("ix_items_deadline", "deadline", **where("ended_at IS NULL AND deadline IS NOT NULL")),
    Index("ix_items_job", "job_id", "job_index", unique=True, **where("job_id IS NOT NULL")),
    Index(
        "ix_items_idempotency_key",
        "idempotency_key",
        unique=True,
        **where("idempotency_key IS NOT NULL"),
    ),
    Index("ix_items_key_expires_at", "key_expires_at", **where("key_expires_at IS NOT NULL")),
    Index("ix_items_part_of", "part_of", **where("part_of IS NOT NULL")),
)
"""One row a work item, from submission to its end.

``announced_at``: its dead letter stood on a ``dead.…`` queue; ``key_expires_at``: its idempotency
key is free from then on; ``erased_at``: its payloads are gone, by retention or by an erasure;
``hooked_at``: the hook was told that a ceiling ended it. Once an item is routed, ``risk`` to
``budget`` and ``fallback`` hold what the policy of digest ``policy`` made of what it ``stated``.
``too_small``: the deployments that cannot hold it, and why. ``ceiling``: the balance that lacks
headroom for it, where its ``reason`` is `ceiling`. ``flow``: with which items it shares a place; of
these the one that is ``due`` first goes first. ``lane``: `batch` where it was routed to its
deployment's batches, `flex` where to its flex tier, `live` once a batch came to nothing or that
tier does not take it. ``pinned``: the one tier that may do it. ``shared``: other rows have it too.
``fresh``: no earlier answer does. ``images``: their sizes. ``purpose``: why it answers again what
``second_to`` was accepted for; ``candidate``: who alone may do it. ``prompt``: its other one.
``part_of``: whose document it is a part of; ``split``: how a document is cut, which pieces it has.
"""

promises = Table(
    "promises",
    metadata,
    Column("id", Id, primary_key=True),
    Column("item_id", Id, nullable=False),
    Column("task", Text, nullable=False),
    Column("group_id", Text),
    Column("group_index", Integer),
    Column("chord", Json),
    Column("chain", Json),
    Column("callbacks", Json),
    Column("errbacks", Json),
    Column("root_id", Text),
    Column("parent_id", Text),
    Column("made_at", BigInteger, nullable=False),
    Column("kept_at", BigInteger),
    Column("followed_at", BigInteger),
    Column("replays", Integer),
    Index("ix_promises_unkept", "item_id", **where("kept_at IS NULL")),
    Index("ix_promises_joined", "item_id", **where("id <> item_id")),
    Index("ix_promises_group_id", "group_id", "group_index", **where("group_id IS NOT NULL")),
)
"""One row a Celery task id: everything Celery must be told when the item ends.

``followed_at``: the broker lost a result that had been told; what follows it was sent by then, and
the result alone is owed again. ``replays``: how often its item was replayed meanwhile; what was
told of an earlier end is owed anew.
"""

attempts = Table(
    "attempts",
    metadata,
    Column("item_id", Id, primary_key=True),
    Column("fence", Integer, primary_key=True),
    Column("tier", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("metered", Boolean, nullable=False),
    Column("balances", Json, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("outcome", Text),
    Column("cost", BigInteger),
    Column("price_source", Text),
    Column("usage", Json),
    Column("seconds", Double),
    Column("simulated", Boolean),
    Column("detail", Json),
    Column("confidence", Double),
    Column("batch", Id),
    Index("ix_attempts_batch", "batch", **where("batch IS NOT NULL")),
    Index("ix_attempts_booked", "item_id", **where("outcome IN ('unknown', 'lost')")),
    Index("ix_attempts_open", "started_at", **where("ended_at IS NULL")),
    Index("ix_attempts_recent", "deployment", "started_at", **where("tier <> 'gpu'")),
)
"""One row a claim. While ``ended_at`` is null its ``held`` stands in every balance it names."""
