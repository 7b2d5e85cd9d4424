"""The tables of money: what may be spent, what is, and every change of both."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from tierqueue.ledger.tables.columns import Id, Serial, metadata

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
    Column("id", Id, primary_key=True),
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
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("balance_id", Id, nullable=False),
    Column("item_id", Id, nullable=False),
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
    Column("id", Serial, primary_key=True, autoincrement=True),
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
    Column("balance_id", Id, primary_key=True),
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
    Column("balance_id", Id, primary_key=True),
    Column("spent", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""What a balance had spent at a moment not long ago: the rate of spending is measured from it."""
