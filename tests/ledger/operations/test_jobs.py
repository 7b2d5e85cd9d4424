"""Jobs: one file's items, counted, paid for, read back and cancelled together."""

import pytest

from tests.ledger.moves import SECOND, Moves, new_item, settlement
from tests.ledger.placed import commit
from tierqueue.ledger import audit_log
from tierqueue.ledger.operations import jobs
from tierqueue.router.errors import Cancelled
from tierqueue.router.lifecycle import State


def _job(moves: Moves, rows: int, max_cost: int | None = None, at: int = 1) -> str:
    with moves.ledger.write() as connection:
        job_id = jobs.create(
            connection, task="tierqueue.classify", source="tickets.csv", max_cost=max_cost, now=at
        )
        made = [new_item(job_id=job_id, job_index=index) for index in range(rows)]
        commit(connection, made)
    return job_id


def _progress(moves: Moves, job_id: str) -> jobs.JobProgress:
    with moves.ledger.read() as connection:
        return jobs.progress(connection, job_id)


def test_a_job_tells_where_its_items_are_and_what_they_cost(moves: Moves) -> None:
    job_id = _job(moves, 4)
    moves.route(bound=100)
    done, dead, running = moves.claim(dict(list(moves.queue().items())[:3])).claimed
    moves.settle(
        settlement(done),
        settlement(dead, outcome="rejected", next_state=State.DEAD, reason="rejected", cost=30),
    )
    progress = _progress(moves, job_id)
    assert progress.states == {"succeeded": 1, "dead": 1, "running": 1, "queued": 1}
    assert progress.dead == {"rejected": 1}
    assert (progress.spent, progress.held, progress.ended) == (100, running.held, 2)
    assert (progress.complete, progress.over, progress.total) == (False, False, 4)


def test_a_job_is_over_when_the_last_row_of_a_whole_file_has_ended(moves: Moves) -> None:
    job_id = _job(moves, 2)
    moves.route(bound=100)
    moves.settle(*(settlement(claim) for claim in moves.claim(moves.queue()).claimed))
    assert not _progress(moves, job_id).over
    with moves.ledger.write() as connection:
        jobs.complete(connection, job_id, 2)
    progress = _progress(moves, job_id)
    assert (progress.over, progress.total) == (True, 2)


def test_a_jobs_highest_cost_is_a_ceiling_over_all_its_items(moves: Moves) -> None:
    _job(moves, 3, max_cost=250)
    moves.route(bound=100)
    result = moves.claim(moves.queue())
    assert (len(result.claimed), result.waiting) == (2, 1)
    assert [held for held, _, _ in moves.books().values()] == [200]


def test_results_come_in_the_order_of_the_file_page_by_page(moves: Moves) -> None:
    job_id = _job(moves, 5)
    _job(moves, 5)
    read, after = [], -1
    with moves.ledger.read() as connection:
        while page := jobs.results(connection, job_id, after, 2):
            assert len(page) <= 2
            read += [row.job_index for row in page]
            after = read[-1]
    assert read == [0, 1, 2, 3, 4]


def test_a_cancelled_job_ends_its_items_and_takes_no_more_rows(moves: Moves) -> None:
    job_id = _job(moves, 5)
    moves.route(bound=100)
    [first, *_] = wanted = moves.queue()
    [running] = moves.claim({first: wanted[first]}).claimed
    ended = 0
    with moves.ledger.write() as connection:
        jobs.accepting(connection, job_id)
        while (some := jobs.cancel(connection, job_id, "ada", batch=1)) is not None:
            ended += some
    assert ended == 4
    with pytest.raises(Cancelled, match="cancelled"), moves.ledger.write() as connection:
        jobs.accepting(connection, job_id)
    moves.settle(settlement(running, outcome="interrupted", next_state=State.ROUTED, cost=0))
    progress = _progress(moves, job_id)
    assert (progress.states, progress.over, progress.cancelled) == ({"cancelled": 5}, True, True)
    with moves.ledger.read() as connection:
        [action] = audit_log.newest(connection, 10)
    assert (action.by, action.what, action.detail) == ("ada", "cancel job", {"job": job_id})


def test_a_job_nobody_knows_is_no_job(moves: Moves) -> None:
    with moves.ledger.write() as connection:
        assert jobs.get(connection, "nothing") is None
        with pytest.raises(KeyError):
            jobs.progress(connection, "nothing")
        with pytest.raises(KeyError):
            jobs.cancel(connection, "nothing", "ada")


def test_the_newest_job_is_listed_first(moves: Moves) -> None:
    ids = [_job(moves, 0, at=at) for at in range(3)]
    with moves.ledger.read() as connection:
        assert [row.id for row in jobs.newest(connection, 2)] == ids[:0:-1]


def _silent_for(moves: Moves, microseconds: int) -> None:
    with moves.ledger.write() as connection:
        for table in ("jobs", "items"):
            connection.exec_driver_sql(
                f"UPDATE {table} SET submitted_at = submitted_at - {microseconds}"
            )


def test_a_job_whose_submission_ended_early_is_incomplete_and_over_when_its_rows_are(
    moves: Moves,
) -> None:
    with moves.ledger.write() as connection:
        job_id = jobs.create(
            connection, task="t", source="a.csv", max_cost=None, now=moves.now(), total=40_000
        )
        made = [new_item(job_id=job_id, job_index=index) for index in range(2)]
        commit(connection, made)
        assert jobs.stopped(connection, 5) == []
    progress = _progress(moves, job_id)
    assert (progress.submitted, progress.total, progress.stopped) == (2, 40_000, False)
    _silent_for(moves, jobs.SILENT_US + SECOND)
    progress = _progress(moves, job_id)
    assert (progress.stopped, progress.over) == (True, False)
    moves.route(bound=100)
    moves.settle(*(settlement(claim) for claim in moves.claim(moves.queue()).claimed))
    assert _progress(moves, job_id).over
    with moves.ledger.write() as connection:
        [(job, submitted)] = jobs.stopped(connection, 5)
        assert (job.id, submitted) == (job_id, 2)
        jobs.cancel(connection, job_id, "ada")
        assert jobs.stopped(connection, 5) == []
    assert not _progress(moves, job_id).stopped


def test_what_a_job_has_spent_never_falls_when_a_booking_is_corrected(moves: Moves) -> None:
    job_id = _job(moves, 2)
    moves.route(bound=100)
    one, other = moves.claim(moves.queue()).claimed
    moves.settle(
        settlement(one, outcome="unknown", next_state=State.DEAD, reason="unknown", cost=100)
    )
    progress = _progress(moves, job_id)
    assert (progress.spent, progress.booked, progress.held) == (0, 100, other.held)
    moves.settle(settlement(one, cost=7))
    progress = _progress(moves, job_id)
    assert (progress.spent, progress.booked) == (7, 0)
