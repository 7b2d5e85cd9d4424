"""The ledger's tables, by trade: items, jobs, money, payloads, evidence, and what operators do.

Money is integer nano-dollars, time is integer microseconds since the epoch, both on the database's
own clock; JSON is JSON. SQLite and PostgreSQL alike.
"""

from tierqueue.ledger.tables.batch_table import batches
from tierqueue.ledger.tables.columns import metadata
from tierqueue.ledger.tables.evidence_table import (
    call_seconds,
    evidence,
    learned_limits,
    observations,
    policies,
    policy_versions,
    prompts,
    reusable,
    surrogate_audits,
    surrogates_off,
)
from tierqueue.ledger.tables.item_tables import attempts, items, promises
from tierqueue.ledger.tables.job_tables import (
    chords,
    job_counts,
    job_deltas,
    job_moves,
    job_rows,
    jobs,
    schedule_runs,
    schedules,
    sink_rows,
    sinks,
    webhooks,
)
from tierqueue.ledger.tables.money_tables import (
    balances,
    ceiling_changes,
    ceiling_marks,
    ceiling_warnings,
    ceilings,
    entries,
)
from tierqueue.ledger.tables.operator_tables import (
    actions,
    conditions,
    limits,
    pauses,
    processes,
    raw_messages,
    tiers,
)
from tierqueue.ledger.tables.payload_tables import (
    contents,
    item_contents,
    labels,
    refused_answers,
    reviews,
)

__all__ = [
    "actions",
    "attempts",
    "balances",
    "batches",
    "call_seconds",
    "ceiling_changes",
    "ceiling_marks",
    "ceiling_warnings",
    "ceilings",
    "chords",
    "conditions",
    "contents",
    "entries",
    "evidence",
    "item_contents",
    "items",
    "job_counts",
    "job_deltas",
    "job_moves",
    "job_rows",
    "jobs",
    "labels",
    "learned_limits",
    "limits",
    "metadata",
    "observations",
    "pauses",
    "policies",
    "policy_versions",
    "processes",
    "promises",
    "prompts",
    "raw_messages",
    "refused_answers",
    "reusable",
    "reviews",
    "schedule_runs",
    "schedules",
    "sink_rows",
    "sinks",
    "surrogate_audits",
    "surrogates_off",
    "tiers",
    "webhooks",
]
