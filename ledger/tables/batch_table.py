"""The table of batches: what items are handed over in, from its forming to its last line."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from tierqueue.ledger.tables.columns import Id, Json, metadata, where

batches = Table(
    "batches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("deployment", Id, nullable=False),
    Column("state", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("formed_at", BigInteger, nullable=False),
    Column("poll_at", BigInteger, nullable=False),
    Column("worker", Text),
    Column("lease_until", BigInteger, nullable=False),
    Column("input_file", Text),
    Column("creating_at", BigInteger),
    Column("remote", Text),
    Column("remote_state", Text),
    Column("cancelled_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("counts", Json),
    Column("error", Text),
    Column("over_at", BigInteger),
    Index("ix_batches_open", "poll_at", **where("ended_at IS NULL")),
)
"""One row a batch that items were handed over in; its attempts name it.

``state``: `collected` until the provider has it, then `sent`, at last `over`. ``creating_at`` is
written before the provider is asked for it: from then on it may exist there.
"""
