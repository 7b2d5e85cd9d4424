"""The tables of what operators set, of what runs, and of what was done and could not be read."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text

from tierqueue.ledger.tables.columns import Id, Json, Serial, metadata

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
    Column("deployment", Id, primary_key=True),
    Column("name", Id, primary_key=True),
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
    Column("deployment", Id, primary_key=True),
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
    Column("detail", Json, nullable=False),
)
"""One row a running process, renewed every few seconds with what it has done so far."""

raw_messages = Table(
    "raw_messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("queue", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", Json),
    Column("error", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)
"""Messages that could not be read, with the bytes as they came."""

actions = Table(
    "actions",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", Json, nullable=False),
)
"""Append-only: what an operator did to items, jobs and tiers, when, and to which of them."""
