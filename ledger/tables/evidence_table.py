"""The tables of evidence: what the answers of deployments have shown, those of surrogates,
which of them may answer again, what limits were learned, and the policies that were applied.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, Table, Text

from tierqueue.ledger.tables.columns import Id, Serial, metadata, where

evidence = Table(
    "evidence",
    metadata,
    Column("task", Id, primary_key=True),
    Column("deployment", Id, primary_key=True),
    Column("answers", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("input_tokens", Double, nullable=False),
    Column("output_tokens", Double, nullable=False),
    Column("seconds", Double, nullable=False),
)
"""One row a task type and a deployment: how its answers were judged, and what they took in all. The
older an answer, the less it counts.
"""

call_seconds = Table(
    "call_seconds",
    metadata,
    Column("task", Id, primary_key=True),
    Column("deployment", Id, primary_key=True),
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("answers", Integer, nullable=False),
)
"""One row a task type, a deployment that is paid by the hour, and a size of times: how many of its
answers took so long. Older ones count for less.
"""

surrogate_audits = Table(
    "surrogate_audits",
    metadata,
    Column("item_id", Id, primary_key=True),
    Column("task", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("answer", Text),
    Column("agreed", Boolean),
    Column("at", BigInteger, nullable=False),
    Index("ix_surrogate_audits_pending", "item_id", **where("answer IS NOT NULL")),
    Index("ix_surrogate_audits_version", "version", "at"),
)
"""One row an item that somebody below the tiers would have answered and a model answers: to be
compared with that as long as there is an ``answer``. Asked under another prompt it never is.
"""

surrogates_off = Table(
    "surrogates_off",
    metadata,
    Column("version", Text, primary_key=True),
    Column("task", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("compared", Integer, nullable=False),
    Column("differed", Integer, nullable=False),
)
"""Surrogates and rules that their audits took out of service; another version begins afresh."""

observations = Table(
    "observations",
    metadata,
    Column("deployment", Id, primary_key=True),
    Column("asked", Text, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)
"""One row something that was seen of a deployment's replies: a model that answered, a parameter of
a request that its server refused.
"""

learned_limits = Table(
    "learned_limits",
    metadata,
    Column("deployment", Id, primary_key=True),
    Column("name", Id, primary_key=True),
    Column("how", Id, primary_key=True),
    Column("rate", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""One row a limit that a deployment's provider states, or has shown by refusing: for a broker that
has forgotten it, and for people.
"""

reusable = Table(
    "reusable",
    metadata,
    Column("key", Id, primary_key=True),
    Column("item_id", Id, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("ix_reusable_item_id", "item_id"),
    Index("ix_reusable_at", "at"),
)
"""One row a question that was asked of a task type whose answers may be reused: the item whose
accepted answer, once it has one, answers it. ``key`` is a hash of what was asked, and goes with the
item's payload.
"""

policies = Table(
    "policies",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
)
"""One row a policy that was applied or that a routing stage started with; the last is in force."""

prompts = Table(
    "prompts",
    metadata,
    Column("version", Text, primary_key=True),
    Column("system", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""Append-only: one row an instruction that stood in for a task type's own, by its hash."""

policy_versions = Table(
    "policy_versions",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text),
)
"""Append-only: one row each time a policy was applied or an earlier one was put back; the last of
them is in force.
"""
