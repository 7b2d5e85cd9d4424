"""The tables of jobs (files, their rows, where they are and go), of chords, of what comes again."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, Table, Text

from tierqueue.ledger.tables.columns import Id, Json, Serial, metadata, where

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


def _keys(*, primary: bool) -> list[Column[Any]]:
    return [
        Column("job_id", Id, primary_key=primary, nullable=False),
        Column("part", Text, primary_key=primary, nullable=False),
        Column("at", BigInteger, primary_key=primary, nullable=False, autoincrement=False),
        Column("state", Text, primary_key=primary, nullable=False),
        Column("reason", Text, primary_key=primary, nullable=False),
        Column("tier", Text, primary_key=primary, nullable=False),
        Column("went_on", Boolean, primary_key=primary, nullable=False),
    ]


def _sums() -> list[Column[Any]]:
    return [
        Column("rows", Integer, nullable=False),
        *(Column(name, BigInteger, nullable=False) for name in ("spent", "held")),
        *(Column(name, Double, nullable=False) for name in ("squares", "size")),
        *(Column(name, Double, nullable=False) for name in ("size_squares", "size_spent")),
    ]


job_counts = Table(
    "job_counts",
    metadata,
    *_keys(primary=True),
    *_sums(),
    Index("ix_job_counts_ends", "at", **where("part = 'ends'")),
)
"""Sums over a job's rows, kept by triggers of the database's own, whichever release writes.

``part``: `own` items, those of documents in pieces (`document`) and of their pieces (`piece`, no
rows of the file), rows that have another's item (`shared`), calls whose bill is not known
(`booked`: their cost is ``spent``), and how many items ended in the second ``at`` (`ends`; kept for
some minutes, and ``at`` is 0 elsewhere). ``state``: what is routed, queued or running is `routed`.
``reason`` of dead letters, ``held`` of what was handed over alone. Sums over costs and over bytes
of prompts: ``squares``, ``size``, ``size_squares``, ``size_spent``. Whatever rebuilds ``items``,
``job_rows`` or ``attempts`` makes their triggers anew.
"""

job_deltas = Table(
    "job_deltas",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    *_keys(primary=False),
    *_sums(),
    Index("ix_job_deltas_job_id", "job_id"),
)
"""What is to be added to ``job_counts``, on PostgreSQL: many writers append and none waits."""


def _moved(when: str) -> list[Column[Any]]:
    return [
        *(Column(f"{when}{name}", Text) for name in ("part", "state", "reason", "tier")),
        Column(f"{when}went_on", Boolean),
        *(Column(f"{when}{name}", BigInteger) for name in ("spent", "held")),
        Column(f"{when}size", Integer),
    ]


job_moves = Table(
    "job_moves",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("job_id", Id, nullable=False),
    *_moved("old_"),
    *_moved(""),
    Column("ended", BigInteger),
)
"""What is to be added to ``job_counts``, on SQLite: one row a move, as the item was (null: it was
not there) and is (null: no more), and in which second it ended. Many are added at once.
"""

chords = Table(
    "chords",
    metadata,
    Column("group_id", Id, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Column("body_sent_at", BigInteger),
    Column("failed_at", BigInteger),
)
"""One row a chord whose header is all ours, from the end of its last part.

``failed_at``: its body was told that a part had failed; a replay of that part, or of a part of a
chord that is one, sends it after all.
"""

schedules = Table(
    "schedules",
    metadata,
    Column("name", Id, primary_key=True),
    Column("task", Text, nullable=False),
    Column("call", Json, nullable=False),
    Column("cron", Text),
    Column("every", BigInteger),
    Column("timezone", Text, nullable=False),
    Column("missed", Text, nullable=False),
    Column("next_due", BigInteger, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("paused_at", BigInteger),
    Column("source", Json),
    Index("ix_schedules_next_due", "next_due", **where("paused_at IS NULL")),
)
"""One row a schedule: ``call`` is made each time, with a ``cron`` line or ``every`` so many
microseconds. ``missed``: whether a time that nobody was there for is made up for, `once` or `skip`.
``source``: what a run reads as a job, how, and what it may cost; null where it is one item.
"""

schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("schedule", Id, primary_key=True),
    Column("due", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Text),
    Column("item_id", Id),
    Column("error", Text),
    Column("job_id", Id),
    Column("lease_until", BigInteger),
    Index("ix_schedule_runs_lease_until", "lease_until", **where("lease_until IS NOT NULL")),
)
"""One row a time at which a schedule was due: its key lets one of many routing stages run it.
``by``: who ran it by hand. ``error``: why there is no item, or why its job was not submitted.
``lease_until``: until its job is submitted, by whoever has the lease.
"""

webhooks = Table(
    "webhooks",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("address", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("ended", Integer, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
    Column("look_at", BigInteger),
    Column("told", Text),
    Column("tries", Integer, nullable=False),
    Column("error", Text),
    Index("ix_webhooks_look_at", "look_at", **where("look_at IS NOT NULL")),
)
"""One row a job of which somebody is told. ``secret`` names where the secret is, and is none.
``ended``: how many rows had at ``moved_at``; ``look_at``: when a routing stage looks at the job or
tries again, null once there is nothing more to tell; ``tries``: how often in a row it failed.
"""

sinks = Table(
    "sinks",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("place", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("written", Integer, nullable=False),
    Column("after", Integer),
    Column("ended", Integer, nullable=False),
    Column("seen", Integer, nullable=False),
    Column("look_at", BigInteger),
    Column("tries", Integer, nullable=False),
    Column("error", Text),
    Column("failed_at", BigInteger),
    Index("ix_sinks_look_at", "look_at", **where("look_at IS NOT NULL")),
)
"""One row a job whose rows go back into somebody's table, by ``key``. ``place`` names the variable
that holds the database's address, and is none. A round goes over what is not written: it has come
to row ``after`` (null: none is under way) and began when ``ended`` rows had ended; ``seen`` had
when the last whole one began. ``look_at``: null once all is written, or given up.
"""

sink_rows = Table(
    "sink_rows",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("item_id", Id, nullable=False),
    Column("key", Json, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("written", Boolean, nullable=False),
    Column("refused", Text),
    Column("pages", Json),
    Index("ix_sink_rows_left", "job_id", "number", **where("NOT written")),
    Index("ix_sink_rows_refused", "job_id", **where("refused IS NOT NULL")),
    Index("ix_sink_rows_item_id", "item_id"),
)
"""One row a row of such a job, with its value of the key. ``turn`` counts how often its item went
on after its end, so that what was written before is written again. ``pages``: with which characters
of its text they begin, null where it has one. Gone with the item's payload.
"""
