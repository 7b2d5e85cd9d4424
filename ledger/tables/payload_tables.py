"""The tables of what there is to an item beside its own row: the bytes that it carries, answers
that were refused, and what people say of answers.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text

from tierqueue.ledger.tables.columns import Id, Json, metadata, where

contents = Table(
    "contents",
    metadata,
    Column("sha256", Id, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
)
"""One row a content, such as an image, however many items carry it; gone with the last of them.

``kept_at``: when an item last came with it.
"""

item_contents = Table(
    "item_contents",
    metadata,
    Column("item_id", Id, primary_key=True),
    Column("sha256", Id, primary_key=True),
    Index("ix_item_contents_sha256", "sha256"),
)
"""Which contents an item carries, until its payload is gone."""

labels = Table(
    "labels",
    metadata,
    Column("item_id", Id, primary_key=True),
    Column("task", Text, nullable=False),
    Column("deployment", Text),
    Column("correct", Boolean, nullable=False),
    Column("corrected", Json),
    Column("by", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("ix_labels_task", "task", "at"),
)
"""One row an item whose answer somebody judged, as they last did; ``deployment``: whose answer it
was. ``corrected``: what the answer should have been, until the item's payload is gone.
"""

reviews = Table(
    "reviews",
    metadata,
    Column("item_id", Id, primary_key=True),
    Column("task", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("assignee", Text),
    Column("parked_at", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("decided_at", BigInteger),
    Column("decision", Text),
    Column("by", Text),
    Index("ix_reviews_open", "due", **where("decided_at IS NULL")),
)
"""One row an item that was parked for a person, as it last was; it waits as long as its state is
`review`. ``reason``: why no tier's answer was accepted.
"""

refused_answers = Table(
    "refused_answers",
    metadata,
    Column("item_id", Id, primary_key=True),
    Column("fence", Integer, primary_key=True),
    Column("answer", Json),
)
"""Answers that were refused of items whose task type has reviews, by attempt: an output, or the
text where it had no form. They are payloads, and gone with the item's.
"""
