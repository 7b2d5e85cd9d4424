"""Documents in pieces that are erased, replayed or cancelled in the middle of their work."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text, update

from tests.waiting import until
from tests.workers.maintenance.document_job import TEXT, Job
from tierqueue.ledger.lifecycle import documents
from tierqueue.ledger.lifecycle import items as work
from tierqueue.ledger.operations import dead_letters, erasure
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items
from tierqueue.operations.erase import erase
from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import State
from tierqueue.tasks import ask, extract
from tierqueue.tasks.jobs import errors
from tierqueue.tasks.kinds.job_document import JobDocument
from tierqueue.tasks.results import fulfil
from tierqueue.tasks.results.replay import replay
from tierqueue.tasks.submission.pieces import Pieces

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PARTIAL = Pieces(1_300, "always", "partial")


def erase_item(job: Job, item_id: str) -> None:
    producer = job.producer
    erase(producer.ledger, producer.app, [item_id], by="ada", why="asked", patience_seconds=60)


def _dead(job: Job) -> str:
    """A document whose first piece cost 50 nano-dollars, and whose others have failed."""
    job.submit([TEXT], max_cost="0.000001usd")
    job.documents.tick()
    first, *others = job.parts()
    job.finish(first, spent=50)
    for row in others:
        job.kill(row)
    job.documents.tick()
    (row,) = job.rows()
    assert row.state == "dead"
    return str(row.id)


def test_a_cost_that_a_replay_states_is_divided_among_the_parts(job: Job) -> None:
    document = _dead(job)
    with job.producer.ledger.write() as connection:
        connection.execute(update(items).values(stated={"max_cost": 200}))
    replay(job.producer.app, [document], "ada", max_cost=5_000)
    (row,) = job.rows()
    assert (row.max_cost, row.stated["max_cost"]) == (5_000, 5_000)
    assert [(one.max_cost, one.stated["max_cost"]) for one in job.open()] == [(1_000, 1_000)] * 3
    for one in job.open():
        job.finish(one)
    (join,) = job.open()
    assert join.max_cost == 1_000


def test_what_other_pieces_have_spent_is_not_spent_again(job: Job) -> None:
    _dead(job)
    _, second, *_ = job.parts()
    replay(job.producer.app, [second.id], "ada", max_cost=90)
    assert [one.max_cost for one in job.open()] == [10] * 3
    for one in job.open():
        job.finish(one)
    (join,) = job.open()
    assert join.max_cost == 10


def test_a_cost_of_which_nothing_is_left_is_refused(job: Job) -> None:
    document = _dead(job)
    with pytest.raises(InvalidItem, match=document):
        replay(job.producer.app, [document], "ada", max_cost=52)
    assert job.rows()[0].state == "dead"


def test_a_document_that_still_waits_is_given_no_other_cost(job: Job) -> None:
    job.submit([TEXT])
    job.documents.tick()
    first, *_ = job.parts()
    job.kill(first)
    with pytest.raises(InvalidItem, match="has not ended"):
        replay(job.producer.app, [first.id], "ada", max_cost=5_000)
    assert replay(job.producer.app, [first.id], "ada") == [first.id]


def test_retention_leaves_pieces_that_their_document_waits_for(job: Job) -> None:
    job.submit([TEXT], extract, fields={"tenant": "string"})
    job.documents.tick()
    first, *others = job.parts()
    job.finish(first, {"tenant": "Ada"})

    def expired() -> int:
        with job.producer.ledger.write() as connection:
            before = database_now(connection) + 1
            return erasure.expire(connection, [State.SUCCEEDED], before, 10)

    assert expired() == 0
    for row in others:
        job.finish(row, {"tenant": "Ada"})
    job.documents.tick()
    assert job.rows()[0].output == {"tenant": "Ada"}
    assert expired() == 5


def test_a_document_whose_piece_was_erased_ends(job: Job) -> None:
    job.submit([TEXT], extract, fields={"tenant": "string"})
    job.documents.tick()
    pieces = job.parts()
    for row in pieces:
        job.finish(row, {"tenant": "Ada"})
    erase_item(job, pieces[1].id)
    job.documents.tick()
    (row,) = job.rows()
    assert (row.state, row.reason) == ("dead", "erased")
    assert row.error["message"].startswith("piece 2 of 4")
    assert row.error["message"].endswith("has no answer: erased")


def test_a_partial_answer_names_the_piece_that_was_erased(job: Job) -> None:
    job.submit([TEXT], extract, PARTIAL, fields={"tenant": "string"})
    job.documents.tick()
    pieces = job.parts()
    for row in pieces:
        job.finish(row, {"tenant": "Ada"})
    erase_item(job, pieces[1].id)
    job.documents.tick()
    (row,) = job.rows()
    assert (row.state, row.output) == ("succeeded", {"tenant": "Ada"})
    (missing,) = row.receipt["missing"]
    assert (missing["item"], missing["reason"]) == (pieces[1].id, "erased")


@pytest.mark.parametrize("state", ["succeeded", "dead"])
def test_a_document_does_not_wait_for_what_cannot_be_joined(job: Job, state: str) -> None:
    job.submit([TEXT], ask, PARTIAL)
    job.documents.tick()
    first, *others = job.parts()
    if state == "succeeded":
        job.finish(first)
    else:
        job.kill(first)
    erase_item(job, first.id)
    for row in others:
        job.finish(row)
    with job.producer.ledger.write() as connection:
        connection.execute(update(items).where(items.c.state == "waiting").values(ready_at=1))
    job.documents.tick()
    assert not job.open()
    (row,) = job.rows()
    assert (row.state, row.error["message"][-6:]) == ("dead", "erased")


def test_a_document_ends_where_all_that_one_item_was_to_join_has_failed(job: Job) -> None:
    job.submit([TEXT * 3], ask, PARTIAL)
    job.documents.tick()
    (row,) = job.rows()
    first, *_ = row.split["joined"]
    pieces = job.parts()
    for piece in pieces[: first[1]]:
        job.kill(piece)
    for piece in pieces[first[1] :]:
        job.finish(piece)
    for join in job.open():
        job.finish(join)
    with job.producer.ledger.write() as connection:
        connection.execute(update(items).where(items.c.state == "waiting").values(ready_at=1))
    job.documents.tick()
    (row,) = job.rows()
    assert (row.state, row.reason) == ("dead", "rejected")


def test_a_replay_ends_where_a_piece_was_erased_meanwhile(job: Job) -> None:
    document = _dead(job)
    first, *_ = job.parts()
    replay(job.producer.app, [document], "ada")
    erase_item(job, first.id)
    for row in job.open():
        job.finish(row)
    job.documents.tick()
    (row,) = job.rows()
    assert (row.state, row.reason) == ("dead", "erased")


def test_pieces_that_are_cut_meanwhile_are_cancelled_with_their_document(job: Job) -> None:
    job.submit([TEXT])
    (row,) = job.rows()
    ledger = job.producer.ledger

    def cancel() -> None:
        with ledger.write() as connection:
            work.cancel(connection, [row.id], "ada")

    def is_held_up() -> bool:
        with ledger.read() as connection:
            held = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            return bool(connection.execute(text(held)).scalar())

    with ThreadPoolExecutor(1) as other:
        with ledger.write() as connection:
            locked = documents.waiting(connection, row.id, lock=True)
            assert locked is not None
            done = other.submit(cancel)
            if not ledger.one_writer:
                until(is_held_up)
            cut = JobDocument(locked).cut()
            documents.cut(connection, locked, cut, database_now(connection), 2_000_000_000_000_000)
        done.result(60)
    assert {one.state for one in job.producer.all_items()} == {"cancelled"}


def test_what_joins_is_not_submitted_for_a_document_that_was_just_cancelled(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.submit([TEXT])
    job.documents.tick()
    pieces = job.parts()
    for row in pieces[:-1]:
        job.finish(row)
    looked = fulfil._joins

    def cancelled_then(*asked: object) -> bool:
        waits = looked(*asked)  # type: ignore[arg-type]
        with job.producer.ledger.write() as connection:
            of = update(items).where(items.c.part_of.is_(None))
            connection.execute(of.values(state="cancelled", reason="cancelled", ended_at=1))
        return waits

    monkeypatch.setattr(fulfil, "_joins", cancelled_then)
    job.finish(pieces[-1])
    assert len(job.parts()) == len(pieces)


def test_a_document_whose_answer_needs_an_erased_piece_is_not_replayed(job: Job) -> None:
    document = _dead(job)
    first, second, *_ = job.parts()
    erase_item(job, first.id)
    for asked in (document, second.id):
        assert replay(job.producer.app, [asked], "ada") == []
    assert not job.open()
    with job.producer.ledger.read() as connection:
        gone = dead_letters.beyond_replay(connection, [document, second.id])
    assert gone == {document, second.id}
    (group,) = errors.groups(job.producer.ledger, job.id)
    assert group.items == {}


def test_a_piece_that_was_erased_behind_its_join_keeps_no_document_from_a_replay(job: Job) -> None:
    job.submit([TEXT * 3])
    job.documents.tick()
    pieces = job.parts()
    for row in pieces:
        job.finish(row)
    one, other = job.open()
    job.finish(one)
    job.kill(other)
    job.documents.tick()
    erase_item(job, pieces[0].id)
    (row,) = job.rows()
    assert set(replay(job.producer.app, [row.id], "ada")) == {row.id, other.id}


def test_a_partial_document_goes_without_its_erased_piece(job: Job) -> None:
    job.submit([TEXT], pieces=PARTIAL)
    job.documents.tick()
    for row in job.parts():
        job.kill(row)
    job.documents.tick()
    first, *others = job.parts()
    erase_item(job, first.id)
    (row,) = job.rows()
    assert set(replay(job.producer.app, [row.id], "ada")) == {row.id, *(one.id for one in others)}
