"""The tables. Money is integer nano-dollars, time is integer microseconds since the epoch, both
on the database's own clock; JSON is JSON. SQLite and PostgreSQL alike.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    false,
    text,
)

from tierqueue.ledger.batch_table import batches as batches  # noqa: PLC0414
from tierqueue.ledger.columns import Id as _Id
from tierqueue.ledger.columns import Json as _Json
from tierqueue.ledger.columns import Serial as _Serial
from tierqueue.ledger.columns import metadata as metadata  # noqa: PLC0414
from tierqueue.ledger.columns import where as _where
from tierqueue.ledger.evidence_table import call_seconds as call_seconds  # noqa: PLC0414
from tierqueue.ledger.evidence_table import evidence as evidence  # noqa: PLC0414
from tierqueue.ledger.evidence_table import policies as policies  # noqa: PLC0414
from tierqueue.ledger.evidence_table import policy_versions as policy_versions  # noqa: PLC0414
from tierqueue.ledger.evidence_table import prompts as prompts  # noqa: PLC0414
from tierqueue.ledger.evidence_table import reusable as reusable  # noqa: PLC0414
from tierqueue.ledger.evidence_table import surrogate_audits as surrogate_audits  # noqa: PLC0414
from tierqueue.ledger.evidence_table import surrogates_off as surrogates_off  # noqa: PLC0414
from tierqueue.ledger.job_tables import chords as chords  # noqa: PLC0414
from tierqueue.ledger.job_tables import job_counts as job_counts  # noqa: PLC0414
from tierqueue.ledger.job_tables import job_deltas as job_deltas  # noqa: PLC0414
from tierqueue.ledger.job_tables import job_moves as job_moves  # noqa: PLC0414
from tierqueue.ledger.job_tables import job_rows as job_rows  # noqa: PLC0414
from tierqueue.ledger.job_tables import jobs as jobs  # noqa: PLC0414
from tierqueue.ledger.job_tables import schedule_runs as schedule_runs  # noqa: PLC0414
from tierqueue.ledger.job_tables import schedules as schedules  # noqa: PLC0414
from tierqueue.ledger.job_tables import webhooks as webhooks  # noqa: PLC0414
from tierqueue.ledger.payload_tables import contents as contents  # noqa: PLC0414
from tierqueue.ledger.payload_tables import item_contents as item_contents  # noqa: PLC0414
from tierqueue.ledger.payload_tables import labels as labels  # noqa: PLC0414
from tierqueue.ledger.payload_tables import refused_answers as refused_answers  # noqa: PLC0414
from tierqueue.ledger.payload_tables import reviews as reviews  # noqa: PLC0414

items = Table(
    "items",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("task", Text, nullable=False),
    Column("arguments", _Json),
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
    Column("metadata", _Json),
    Column("idempotency_key", Text),
    Column("fingerprint", Text, nullable=False),
    Column("job_id", _Id),
    Column("job_index", Integer),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("tier", Text),
    Column("deployment", Text),
    Column("route", _Json),
    Column("bound", BigInteger),
    Column("token_bound", Integer),
    Column("ready_at", BigInteger, nullable=False),
    Column("lease_until", BigInteger),
    Column("fence", Integer, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("lost_claims", Integer, nullable=False),
    Column("throttles", Integer, nullable=False),
    Column("refused_by", _Json),
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("output", _Json),
    Column("receipt", _Json),
    Column("error", _Json),
    Column("submitted_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("announced_at", BigInteger),
    Column("key_expires_at", BigInteger),
    Column("erased_at", BigInteger),
    Column("fallback", _Json),
    Column("degraded", _Json),
    Column("hooked_at", BigInteger),
    Column("inherits", Text),
    Column("stated", _Json),
    Column("policy", Text),
    Column("too_small", _Json),
    Column("ceiling", Text),
    Column("attributed", BigInteger, nullable=False, server_default="0"),
    Column("min_confidence", Double),
    Column("flow", _Id, nullable=False, server_default=""),
    Column("due", BigInteger, nullable=False, server_default="0"),
    Column("lane", Text),
    Column("pinned", Text),
    Column("shared", Boolean, nullable=False, server_default=false()),
    Column("fresh", Boolean, nullable=False, server_default=false()),
    Column("images", _Json),
    Column("purpose", Text),
    Column("second_to", _Id),
    Column("candidate", Text),
    Index(
        "ix_items_second_to", "second_to", "purpose", unique=True, **_where("second_to IS NOT NULL")
    ),
    Column("prompt", Text),
    Column("part_of", _Id),
    Column("split", _Json),
    Index("ix_items_submitted_at", "submitted_at", "id"),
    # One small index a state: a move touches only the two it concerns.
    Index("ix_items_submitted", "flow", "due", "id", **_where("state = 'submitted'")),
    Index("ix_items_routed", "tier", "flow", "due", "id", **_where("state = 'routed'")),
    Index("ix_items_queued", "tier", "ready_at", **_where("state = 'queued'")),
    Index("ix_items_waiting", "ready_at", **_where("state = 'waiting'")),
    # By its state too, which no other has: else SQLite takes the one above.
    Index(
        "ix_items_due",
        "state",
        "ready_at",
        **_where("state = 'waiting' AND (reason IS NULL OR reason <> 'pieces')"),
    ),
    Index("ix_items_running", "lease_until", **_where("state = 'running'")),
    Index(
        "ix_items_collected",
        "deployment",
        text("priority DESC"),
        "id",
        **_where("state = 'waiting' AND reason = 'batch'"),
    ),
    Index("ix_items_handed_over", "deadline", **_where("state = 'handed_over'")),
    Index("ix_items_suspect", "tier", **_where("lost_claims > 0 AND ended_at IS NULL")),
    Index("ix_items_dead", "ended_at", **_where("state = 'dead'")),
    Index("ix_items_unannounced", "ended_at", **_where("state = 'dead' AND announced_at IS NULL")),
    Index(
        "ix_items_unhooked",
        "ended_at",
        **_where("state = 'dead' AND reason = 'cost_ceiling' AND hooked_at IS NULL"),
    ),
    Index("ix_items_retained", "ended_at", **_where("ended_at IS NOT NULL AND erased_at IS NULL")),
    Index("ix_items_deadline", "deadline", **_where("ended_at IS NULL AND deadline IS NOT NULL")),
    Index("ix_items_job", "job_id", "job_index", unique=True, **_where("job_id IS NOT NULL")),
    Index(
        "ix_items_idempotency_key",
        "idempotency_key",
        unique=True,
        **_where("idempotency_key IS NOT NULL"),
    ),
    Index("ix_items_key_expires_at", "key_expires_at", **_where("key_expires_at IS NOT NULL")),
    Index("ix_items_part_of", "part_of", **_where("part_of IS NOT NULL")),
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
    Column("id", _Id, primary_key=True),
    Column("item_id", _Id, nullable=False),
    Column("task", Text, nullable=False),
    Column("group_id", Text),
    Column("group_index", Integer),
    Column("chord", _Json),
    Column("chain", _Json),
    Column("callbacks", _Json),
    Column("errbacks", _Json),
    Column("root_id", Text),
    Column("parent_id", Text),
    Column("made_at", BigInteger, nullable=False),
    Column("kept_at", BigInteger),
    Column("followed_at", BigInteger),
    Column("replays", Integer),
    Index("ix_promises_unkept", "item_id", **_where("kept_at IS NULL")),
    Index("ix_promises_joined", "item_id", **_where("id <> item_id")),
    Index("ix_promises_group_id", "group_id", "group_index", **_where("group_id IS NOT NULL")),
)
"""One row a Celery task id: everything Celery must be told when the item ends.

``followed_at``: the broker lost a result that had been told; what follows it was sent by then, and
the result alone is owed again. ``replays``: how often its item was replayed meanwhile; what was
told of an earlier end is owed anew.
"""

attempts = Table(
    "attempts",
    metadata,
    Column("item_id", _Id, primary_key=True),
    Column("fence", Integer, primary_key=True),
    Column("tier", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("metered", Boolean, nullable=False),
    Column("balances", _Json, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("outcome", Text),
    Column("cost", BigInteger),
    Column("price_source", Text),
    Column("usage", _Json),
    Column("seconds", Double),
    Column("simulated", Boolean),
    Column("detail", _Json),
    Column("confidence", Double),
    Column("batch", _Id),
    Index("ix_attempts_batch", "batch", **_where("batch IS NOT NULL")),
    Index("ix_attempts_booked", "item_id", **_where("outcome IN ('unknown', 'lost')")),
    Index("ix_attempts_open", "started_at", **_where("ended_at IS NULL")),
    Index("ix_attempts_recent", "deployment", "started_at", **_where("tier <> 'gpu'")),
)
"""One row a claim. While ``ended_at`` is null its ``held`` stands in every balance it names."""

ceilings = Table(
    "ceilings",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("window", Text, primary_key=True),
    Column("timezone", Text, nullable=False),
    Column("limit", BigInteger, nullable=False),
    Column("set_by", Text, nullable=False),
)
"""What may be spent: ``name`` ``*`` stands for each name of the scope by itself."""

balances = Table(
    "balances",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("window", Text, nullable=False),
    Column("start", Text, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("peak", BigInteger, nullable=False),
    Index("ix_balances_start", "start"),
)
"""What one ceiling has spent and holds in one window; ``peak`` is the highest spent + held."""

entries = Table(
    "entries",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("balance_id", _Id, nullable=False),
    Column("item_id", _Id, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""Append-only: every change of every balance. The sums over a balance's entries are its figures."""

ceiling_changes = Table(
    "ceiling_changes",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("window", Text, nullable=False),
    Column("before", BigInteger),
    Column("after", BigInteger, nullable=False),
)
"""Append-only: who changed which ceiling, when, from what to what."""

ceiling_warnings = Table(
    "ceiling_warnings",
    metadata,
    Column("balance_id", _Id, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("limit", BigInteger, primary_key=True),
    Column("spent", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""One row a warning, given once: a share of the limit is spent (``0.8``), or it is spent too fast
(``burn_rate``). A limit that was changed is warned of again.
"""

ceiling_marks = Table(
    "ceiling_marks",
    metadata,
    Column("balance_id", _Id, primary_key=True),
    Column("spent", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""What a balance had spent at a moment not long ago: the rate of spending is measured from it."""

tiers = Table(
    "tiers",
    metadata,
    Column("tier", Text, primary_key=True),
    Column("concurrency", Integer),
    Column("changed_at", BigInteger, nullable=False),
    Column("changed_by", Text, nullable=False),
)
"""What operators set of a tier at run time, over the policy's starting value."""

limits = Table(
    "limits",
    metadata,
    Column("deployment", _Id, primary_key=True),
    Column("name", _Id, primary_key=True),
    Column("most", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("since", BigInteger),
)
"""What operators set of a deployment's limits at run time, in place of what its policy states."""

pauses = Table(
    "pauses",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
)
"""What operators hold back: a tier, a task type, a budget or a job."""

conditions = Table(
    "conditions",
    metadata,
    Column("deployment", _Id, primary_key=True),
    Column("code", Text),
    Column("detail", Text, nullable=False),
    Column("since", BigInteger),
    Column("until", BigInteger),
    Column("faults", Integer, nullable=False),
    Column("rounds", Integer, nullable=False),
    Column("faulted_at", BigInteger),
    Column("faulted_by", Text),
    Column("served_at", BigInteger),
    Column("probe", Text),
    Column("probe_until", BigInteger),
    Column("told_at", BigInteger),
)
"""One row a deployment that was called; its columns are ``router.condition.Condition``."""

processes = Table(
    "processes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("room", Text, nullable=False),
    Column("tier", Text),
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("detail", _Json, nullable=False),
)
"""One row a running process, renewed every few seconds with what it has done so far."""

raw_messages = Table(
    "raw_messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("queue", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", _Json),
    Column("error", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)
"""Messages that could not be read, with the bytes as they came."""

actions = Table(
    "actions",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", _Json, nullable=False),
)
"""Append-only: what an operator did to items, jobs and tiers, when, and to which of them."""
