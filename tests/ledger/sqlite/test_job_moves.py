"""SQLite's log of moves: what it adds to jobs' sums, and that it stays short."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import func, make_url, select, text, update
from sqlalchemy.exc import DatabaseError

from tests.ledger.moves import Moves, settlement
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.operations.job_counts import counted
from tierqueue.ledger.session import Ledger, refused, unreachable
from tierqueue.ledger.sqlite.job_moves import MOST
from tierqueue.ledger.tables import items, job_counts, job_moves


def _logged(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return connection.execute(select(func.count()).select_from(job_moves)).scalar_one()


def _ended(ledger: Ledger) -> int:
    """How many rows the sums alone say have succeeded."""
    own = (job_counts.c.part == "own", job_counts.c.state == "succeeded")
    with ledger.read() as connection:
        return connection.execute(select(func.sum(job_counts.c.rows)).where(*own)).scalar() or 0


def _counted(ledger: Ledger, job: str) -> int:
    """How many rows have succeeded, as whoever asks of the job is told."""
    with ledger.read() as connection:
        return counted(connection, job, 1).states.get("succeeded", 0)


def test_a_few_moves_stay_in_the_log_and_count_all_the_same(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    moves = Moves(ledger)
    try:
        with ledger.write() as connection:
            job = jobs.create(connection, task="t", source="f", max_cost=None, now=1, path="f")
        moves.submit(1, job_id=job, job_index=0)
        moves.route()
        [claim] = moves.claim(moves.queue()).claimed
        moves.settle(settlement(claim))
        assert (_logged(ledger), _ended(ledger)) == (3, 0)
        assert _counted(ledger, job) == 1
    finally:
        ledger.close()


def test_whoever_commits_the_move_that_makes_them_many_has_added_up_all(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    try:
        with ledger.write() as connection:
            job = jobs.create(connection, task="t", source="f", max_cost=None, now=1, path="f")
        moves = Moves(ledger)
        for number in range(MOST - 1):
            moves.submit(1, job_id=job, job_index=number)
        with ledger.write():
            pass
        assert _logged(ledger) == MOST - 1
        with ledger.write() as connection:
            first = select(items.c.id).limit(1).scalar_subquery()
            ended = update(items).where(items.c.id == first)
            connection.execute(ended.values(state="succeeded", ended_at=5))
        assert (_logged(ledger), _ended(ledger)) == (0, 1)
        assert _counted(ledger, job) == 1
    finally:
        ledger.close()


def test_what_an_older_release_moved_is_added_by_the_next_that_commits(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    try:
        with ledger.write() as connection:
            job = jobs.create(connection, task="t", source="f", max_cost=None, now=1, path="f")
        for number in range(MOST // 2):
            Moves(ledger).submit(1, job_id=job, job_index=number)
        with ledger.engine.begin() as connection:
            connection.execute(text("UPDATE items SET state = 'succeeded', ended_at = 5"))
        assert (_logged(ledger), _ended(ledger)) == (MOST, 0)
        with ledger.write():
            pass
        assert (_logged(ledger), _ended(ledger)) == (0, MOST // 2)
    finally:
        ledger.close()


def test_moves_between_the_queue_and_a_call_are_not_logged(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    try:
        with ledger.write() as connection:
            job = jobs.create(connection, task="t", source="f", max_cost=None, now=1, path="f")
        moves = Moves(ledger)
        moves.submit(1, job_id=job, job_index=0)
        moves.route()
        before = _logged(ledger)
        with ledger.engine.begin() as connection:
            connection.execute(text("UPDATE items SET state = 'queued', ready_at = 5"))
            connection.execute(text("UPDATE items SET state = 'running', fence = 1, held = 7"))
        assert _logged(ledger) == before
    finally:
        ledger.close()


def test_a_damaged_log_is_told_as_the_database_s_own_refusal(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    try:
        path = make_url(sqlite_url).database
        assert path is not None
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("PRAGMA writable_schema = ON")
            raw.execute(
                "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE"
                " type = 'index' AND sql IS NOT NULL LIMIT 1) WHERE name = 'job_moves'"
            )
            raw.commit()
        with pytest.raises(DatabaseError) as raised, ledger.write():
            pass
        assert refused(raised.value)
        assert not unreachable(raised.value)
    finally:
        ledger.close()


def test_an_item_that_moves_is_logged_without_a_table_made_for_it(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    try:
        with ledger.read() as connection:
            move = "EXPLAIN UPDATE items SET state = 'queued', spent = 1 WHERE id = 'i'"
            steps = [str(step.opcode) for step in connection.exec_driver_sql(move)]
    finally:
        ledger.close()
    assert "Program" in steps, "the trigger is no part of it"
    assert "OpenEphemeral" not in steps
