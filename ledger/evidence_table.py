"""The table of evidence: what the answers of each deployment to a task type have shown."""

from sqlalchemy import Column, Double, Integer, Table

from tierqueue.ledger.columns import Id, metadata

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
