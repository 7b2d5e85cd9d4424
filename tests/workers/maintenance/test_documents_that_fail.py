"""Documents in pieces of which one fails, is cancelled, or is erased."""

from typing import Any

import pytest
from sqlalchemy import update

from tests.workers.maintenance.document_job import RECEIPT, SHORT, TEXT, Job
from tierqueue.ledger.lifecycle import items as work
from tierqueue.ledger.operations import dead_letters, jobs
from tierqueue.ledger.tables import items
from tierqueue.operations.erase import erase
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import extract
from tierqueue.tasks.kinds.combine import combine
from tierqueue.tasks.results.replay import replay
from tierqueue.tasks.submission.pieces import Pieces

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_piece_that_fails_is_no_answer_and_its_replay_one(job: Job) -> None:
    job.submit([TEXT])
    job.documents.tick()
    first, *others = job.parts()
    job.kill(first)
    for row in others:
        job.finish(row)
    job.documents.tick()
    (row,) = job.rows()
    assert (row.state, row.reason) == ("dead", "rejected")
    assert row.error["message"].startswith("piece 1 of 4 (characters 0 to ")
    assert job.progress().dead == {"rejected": 1}
    assert set(replay(job.producer.app, [row.id], "ada")) == {row.id, first.id}
    assert job.progress().states == {"waiting": 1}
    job.documents.tick()
    (again,) = job.open()
    assert again.id == first.id
    job.finish(again)
    (join,) = job.open()
    job.finish(join)
    job.documents.tick()
    assert job.rows()[0].state == "succeeded"


def test_a_partial_answer_names_what_it_does_not_speak_of(job: Job) -> None:
    job.submit([TEXT], pieces=Pieces(1_300, "always", "partial"))
    job.documents.tick()
    first, *others = job.parts()
    job.kill(first)
    for row in others:
        job.finish(row)
    (join,) = job.open()
    job.finish(join)
    job.documents.tick()
    (row,) = job.rows()
    assert row.state == "succeeded"
    (missing,) = row.receipt["missing"]
    assert (missing["start"], missing["item"], missing["reason"]) == (0, first.id, "rejected")


def test_where_all_pieces_fail_there_is_no_partial_answer(job: Job) -> None:
    job.submit([TEXT], pieces=Pieces(1_300, "always", "partial"))
    job.documents.tick()
    for row in job.parts():
        job.kill(row)
    job.documents.tick()
    assert job.rows()[0].state == "dead"


def test_a_cost_that_cannot_be_divided_is_refused(job: Job) -> None:
    job.submit([TEXT], max_cost="0.000000001usd")
    job.documents.tick()
    (row,) = job.rows()
    assert (row.state, row.reason) == ("dead", "invalid")
    assert "nothing for each of 5 items" in row.error["message"]


def test_cancelling_a_job_cancels_pieces_and_counts_rows(job: Job) -> None:
    job.submit([TEXT, SHORT])
    job.documents.tick()
    first, *_ = job.parts()
    job.finish(first)
    with job.producer.ledger.write() as connection:
        assert jobs.cancel(connection, job.id, "ada") == 2
    assert not job.open()
    job.documents.tick()
    assert {row.state for row in job.rows()} == {"cancelled"}
    progress = job.progress()
    assert progress.over
    assert (progress.spent, progress.under_way) == (5, 0)


def test_what_a_cancelled_document_has_cost_is_not_under_way_while_another_is(job: Job) -> None:
    job.submit([TEXT, TEXT.replace("Page", "Side")])
    job.documents.tick()
    first, second = job.rows()
    for document in (first, second):
        part = next(row for row in job.open() if row.part_of == document.id)
        job.finish(part)
    assert job.progress().under_way == 10
    with job.producer.ledger.write() as connection:
        work.cancel(connection, [first.id], "ada")
    progress = job.progress()
    assert (progress.spent, progress.under_way) == (10, 5)
    assert job.rows()[0].spent == 5


def test_a_piece_of_a_cancelled_document_joins_nothing(job: Job) -> None:
    job.submit([TEXT])
    job.documents.tick()
    pieces = job.parts()
    with job.producer.ledger.write() as connection:
        connection.execute(
            update(items).where(items.c.part_of.is_(None)).values(state="cancelled", ended_at=1)
        )
    for row in pieces:
        job.finish(row)
    job.documents.tick()
    assert len(job.parts()) == len(pieces)


def test_a_document_whose_news_were_lost_ends_all_the_same(job: Job) -> None:
    job.submit([TEXT], extract, fields={"tenant": "string"})
    job.documents.tick()
    for row in job.parts():
        job.producer.answer(row.id, {"tenant": "Ada"}, **RECEIPT)
    job.documents.tick()
    assert job.rows()[0].state == "waiting"
    with job.producer.ledger.write() as connection:
        connection.execute(update(items).where(items.c.state == "waiting").values(ready_at=1))
    job.documents.tick()
    assert job.rows()[0].state == "succeeded"


def test_a_part_is_not_replayed_for_a_document_that_needs_it_no_more(job: Job) -> None:
    job.submit([TEXT], pieces=Pieces(1_300, "always", "partial"))
    job.documents.tick()
    first, *others = job.parts()
    job.kill(first)
    for row in others:
        job.finish(row)
    job.finish(job.open()[0])
    job.documents.tick()
    with job.producer.ledger.write() as connection:
        assert dead_letters.replay(connection, [first.id], "ada") == []


def test_a_document_is_erased_with_its_pieces(job: Job) -> None:
    job.submit([TEXT])
    job.documents.tick()
    job.finish(job.parts()[0])
    (row,) = job.rows()
    erased = erase(
        job.producer.ledger, job.producer.app, [row.id], by="ada", why="asked", patience_seconds=60
    )
    assert (erased.items, erased.running) == (5, [])
    assert {one.arguments for one in job.producer.all_items()} == {None}


def test_a_join_that_can_be_no_item_ends_its_document(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.submit([TEXT])
    job.documents.tick()

    def refused(*_: Any, **__: Any) -> None:
        raise InvalidItem("it is too much to join")

    for row in job.parts()[:-1]:
        job.finish(row)
    with monkeypatch.context() as patch:
        patch.setattr(type(combine), "called", refused)
        job.finish(job.parts()[-1])
    job.documents.tick()
    (row,) = job.rows()
    assert (row.state, row.reason) == ("dead", "invalid")
    assert row.error["message"].startswith("what joins its pieces 1 to 4")
    assert row.error["message"].endswith("it is too much to join")
