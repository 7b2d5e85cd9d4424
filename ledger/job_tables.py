"""The tables of jobs: a file of work, and each of its rows."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from tierqueue.ledger.columns import Id, Json, metadata, where

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("task", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("max_cost", BigInteger),
    Column("submitted_at", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("total", Integer, nullable=False),
    Column("cancelled_at", BigInteger),
    Column("run", Text),
    Column("path", Text),
    Column("reading", Json),
    Column("sample", Json),
    Index("ix_jobs_run", "run", "submitted_at", **where("run IS NOT NULL")),
    Index(
        "ix_jobs_open_run",
        "run",
        unique=True,
        **where("run IS NOT NULL AND NOT complete AND cancelled_at IS NULL"),
    ),
)
"""One row a job file; ``complete`` once every one of its ``total`` rows is an item. Jobs of older
releases have no ``total`` until then, and no rows in ``job_rows``. Jobs of one ``run`` ask the same
of the same file: at most one of them is being submitted. ``sample``: until the rest is submitted
too.
"""

job_rows = Table(
    "job_rows",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("item_id", Id, nullable=False),
    Column("content", Text, nullable=False),
    Column("fingerprint", Text),
    Index("ix_job_rows_fingerprint", "fingerprint", **where("fingerprint IS NOT NULL")),
    Index("ix_job_rows_shared", "item_id", **where("fingerprint IS NULL")),
)
"""One row a row of a job's file, from 0: the item that answers it, what was read (a hash of the
cells that an answer can depend on), and what was asked (a hash too; null where the item is another
row's, of this job or of an earlier one). Both hashes are empty once the item's payload is gone.
"""
