"""SQLite's log of moves: what it adds to jobs' sums, and that it is empty between transactions."""

from sqlalchemy import func, select, text

from tests.ledger.moves import Moves, settlement
from tierqueue.ledger.operations import jobs
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import job_counts, job_moves


def _logged(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return connection.execute(select(func.count()).select_from(job_moves)).scalar_one()


def _ended(ledger: Ledger) -> int:
    """How many rows the sums alone say have succeeded."""
    own = (job_counts.c.part == "own", job_counts.c.state == "succeeded")
    with ledger.read() as connection:
        return connection.execute(select(func.sum(job_counts.c.rows)).where(*own)).scalar() or 0


def test_whoever_commits_has_added_up_what_moved(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    moves = Moves(ledger)
    try:
        with ledger.write() as connection:
            job = jobs.create(connection, task="t", source="f", max_cost=None, now=1, path="f")
        moves.submit(1, job_id=job, job_index=0)
        moves.route()
        [claim] = moves.claim(moves.queue()).claimed
        assert _logged(ledger) == 0
        moves.settle(settlement(claim))
        assert (_logged(ledger), _ended(ledger)) == (0, 1)
    finally:
        ledger.close()


def test_what_an_older_release_moved_is_added_by_the_next_that_commits(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    try:
        with ledger.write() as connection:
            job = jobs.create(connection, task="t", source="f", max_cost=None, now=1, path="f")
        Moves(ledger).submit(1, job_id=job, job_index=0)
        with ledger.engine.begin() as connection:
            connection.execute(text("UPDATE items SET state = 'succeeded', ended_at = 5"))
        assert (_logged(ledger), _ended(ledger)) == (1, 0)
        with ledger.write():
            pass
        assert (_logged(ledger), _ended(ledger)) == (0, 1)
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
        with ledger.engine.begin() as connection:
            connection.execute(text("UPDATE items SET state = 'queued', ready_at = 5"))
            connection.execute(text("UPDATE items SET state = 'running', fence = 1, held = 7"))
        assert _logged(ledger) == 0
    finally:
        ledger.close()
