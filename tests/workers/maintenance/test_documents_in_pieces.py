"""Documents of a job in pieces: cut once, joined, ended, counted as rows."""

from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import update

from tests.waiting import until
from tests.workers.maintenance.document_job import SHORT, TEXT, Job
from tierqueue.ledger.accounting import audit
from tierqueue.ledger.lifecycle import documents, routes
from tierqueue.ledger.lifecycle.documents import Cut
from tierqueue.ledger.monitoring import outset
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.tables import items
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.defaults import TaskDefaults
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks import classify, extract, summarize
from tierqueue.tasks.kinds.job_document import JobDocument
from tierqueue.tasks.results.replay import replay
from tierqueue.workers.maintenance import documents as workers_documents

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_long_row_is_cut_and_its_pieces_joined_into_one_answer(job: Job) -> None:
    job.submit([TEXT, SHORT])
    long, short = job.rows()
    assert (long.state, long.reason, short.state) == ("waiting", "pieces", "submitted")
    job.documents.tick()
    pieces = job.parts()
    assert [row.split for row in pieces] == [{"from": at, "to": at + 1} for at in range(4)]
    assert {row.job_id for row in pieces} == {job.id}
    assert job.progress().states == {"waiting": 1, "submitted": 1}
    for row in pieces:
        job.finish(row)
    (join,) = job.open()
    assert (join.task, join.split, join.job_id) == (
        "tierqueue.combine",
        {"from": 0, "to": 4},
        job.id,
    )
    assert (job.progress().spent, job.progress().under_way) == (20, 20)
    job.finish(join)
    job.documents.tick()
    long, _ = job.rows()
    assert (long.state, long.output["answer"], long.tier) == ("succeeded", "Here.", "gpu")
    assert long.receipt["tokens"]["input"] == 1_500
    assert (long.spent, long.receipt["cost_nanousd"], long.receipt["parts"]) == (25, 25, 5)
    progress = job.progress()
    assert progress.states == {"succeeded": 1, "submitted": 1}
    assert (progress.total, progress.submitted, progress.spent, progress.under_way) == (2, 2, 25, 0)


def test_what_waits_for_its_pieces_is_not_due_by_itself(job: Job) -> None:
    job.submit([TEXT])
    with job.producer.ledger.write() as connection:
        assert outset.read(connection).due_at is None
        assert routes.wake_due(connection, 10**18) == 0


def test_the_same_command_again_makes_nothing_anew(job: Job) -> None:
    job.submit([TEXT])
    job.documents.tick()
    again = job.submit([TEXT])
    job.documents.tick()
    assert (again.new, again.reused) == (0, 1)
    assert len(job.parts()) == 4
    assert job.progress().states == {"waiting": 1}


def test_many_pieces_are_joined_a_few_at_a_time(job: Job) -> None:
    job.submit([TEXT * 3])
    job.documents.tick()
    pieces = job.parts()
    assert len(pieces) > 8
    for row in pieces:
        job.finish(row)
    for row in job.open():
        assert len(row.arguments["findings"]) <= 8
        job.finish(row)
    (last,) = job.open()
    assert last.split == {"from": 0, "to": len(pieces)}
    job.finish(last)
    job.documents.tick()
    assert job.rows()[0].state == "succeeded"


def test_fields_are_merged_and_conflicts_are_on_the_receipt(job: Job) -> None:
    job.submit([TEXT], extract, fields={"tenant": "string", "rent": "number"})
    job.documents.tick()
    for number, row in enumerate(job.parts()):
        job.finish(row, {"tenant": "Ada", "rent": 1 if number else 2})
    job.documents.tick()
    (row,) = job.rows()
    assert row.output == {"tenant": "Ada", "rent": 1}
    assert row.receipt["conflicts"] == {"rent": [2, 1]}


def test_summaries_are_summarized(job: Job) -> None:
    job.submit([TEXT], summarize, max_words=30)
    job.documents.tick()
    for row in job.parts():
        job.finish(row, {"summary": "A page."})
    (join,) = job.open()
    assert join.arguments["max_words"] == 30
    job.finish(join, {"summary": "Pages."})
    job.documents.tick()
    assert job.rows()[0].output == {"summary": "Pages."}


def test_demands_are_shared_and_the_cost_divided(job: Job) -> None:
    job.submit([TEXT], max_cost="0.00001usd", sensitivity="internal", budget="legal")
    job.documents.tick()
    assert {(row.max_cost, row.sensitivity, row.budget) for row in job.parts()} == {
        (2_000, "internal", "legal")
    }
    for row in job.parts():
        job.finish(row)
    (join,) = job.open()
    assert (join.max_cost, join.sensitivity, join.budget) == (2_000, "internal", "legal")


def test_the_books_agree(job: Job) -> None:
    job.submit([TEXT], extract, fields={"tenant": "string"})
    job.documents.tick()
    for row in job.parts():
        job.finish(row, {"tenant": "Ada"}, spent=0)
    job.documents.tick()
    with job.producer.ledger.write() as connection:
        of = update(items).where(items.c.part_of.is_(None))
        connection.execute(of.values(spent=7))
        assert not audit.audit(connection)


def test_two_routing_stages_cut_a_document_once(job: Job) -> None:
    job.submit([TEXT])
    other = job.stage()
    job.documents.tick()
    other.tick()
    assert len(job.parts()) == 4


def test_a_row_that_no_task_type_joins_is_refused(job: Job) -> None:
    with pytest.raises(InvalidItem, match="is not asked of pieces"):
        job.submit([TEXT], classify, labels=["a", "b"])
    until(lambda: not job.producer.all_items())


def test_what_one_stage_cuts_no_other_begins(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.submit([TEXT])
    other = job.stage()
    begun: list[str] = []
    cut = JobDocument.cut

    def with_another(document: JobDocument) -> Cut:
        begun.append("cut")
        if len(begun) == 1:
            other.tick()
        return cut(document)

    monkeypatch.setattr(JobDocument, "cut", with_another)
    job.documents.tick()
    assert begun == ["cut"]
    assert len(job.parts()) == 4


class Killed(BaseException):
    """In the place of a SIGKILL: nothing behind it is done any more."""


@pytest.mark.parametrize("at", ["cut", "end"])
def test_what_a_killed_stage_had_taken_goes_on_after_a_lease(
    job: Job, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    job.submit([TEXT], extract, fields={"tenant": "string"})
    if at == "end":
        job.documents.tick()
        for row in job.parts():
            job.finish(row, {"tenant": "Ada"})
    with monkeypatch.context() as patched:
        patched.setattr(JobDocument, at, Mock(side_effect=Killed))
        with pytest.raises(Killed):
            job.stage(lease_seconds=600).tick()
    job.documents.tick()
    assert (job.rows()[0].state, len(job.parts())) == ("waiting", 0 if at == "cut" else 4)
    with job.producer.ledger.write() as connection:
        # Moved in time, so that how long the test itself takes decides nothing.
        passed = update(items).where(items.c.part_of.is_(None))
        connection.execute(passed.values(ready_at=items.c.ready_at - 600_000_000))
    job.documents.tick()
    assert len(job.parts()) == 4
    assert job.rows()[0].state == ("waiting" if at == "cut" else "succeeded")


def test_what_was_taken_in_vain_has_time(job: Job) -> None:
    job.submit([TEXT])
    job.documents.tick()
    (document,) = job.rows()
    with job.producer.ledger.write() as connection:
        documents.soon(connection, document.id)
        now = database_now(connection)
    job.documents.tick()
    assert job.rows()[0].ready_at >= now + documents.AGAIN_US


def test_what_ends_while_a_stage_looks_has_the_document_looked_at_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.submit([TEXT], extract, fields={"tenant": "string"})
    job.documents.tick()
    (document,) = job.rows()
    looked = documents.goes_on

    def then_all_end(*asked: Any) -> bool:
        goes_on = looked(*asked)
        for row in job.open():
            job.finish(row, {"tenant": "Ada"})
        return goes_on

    with job.producer.ledger.write() as connection:
        documents.soon(connection, document.id)
    monkeypatch.setattr(documents, "goes_on", then_all_end)
    job.documents.tick()
    assert job.rows()[0].state == "waiting"
    job.documents.tick()
    assert job.rows()[0].state == "succeeded"


def test_a_document_of_which_a_part_goes_on_is_not_read(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.submit([TEXT])
    job.documents.tick()
    read = Mock(wraps=documents.parts_of)
    monkeypatch.setattr(documents, "parts_of", read)
    with job.producer.ledger.write() as connection:
        documents.soon(connection, job.rows()[0].id)
    job.documents.tick()
    assert not read.called
    assert job.rows()[0].ready_at > 0
    for row in job.parts():
        job.finish(row)
    (join,) = job.open()
    job.finish(join)
    job.documents.tick()
    assert read.call_count == 1
    assert job.rows()[0].state == "succeeded"


def test_more_documents_than_one_tick_takes_are_looked_at_at_once(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_documents, "MOST", 2)
    job.submit([TEXT, f"Another. {TEXT}", f"A third. {TEXT}"])
    assert job.documents.tick()
    assert not job.documents.tick()
    assert all("spans" in row.split for row in job.rows())


def test_a_document_that_states_no_deadline_has_one_for_all_its_parts(job: Job) -> None:
    policy = Policy(
        digest="d", tasks={"tierqueue.ask": TaskDefaults.model_validate({"deadline": "1h"})}
    )
    job.documents.use(policy)
    job.submit([TEXT])
    job.documents.tick()
    (document,) = job.rows()
    assert 0 < document.deadline - document.submitted_at - 3_600_000_000 < 600_000_000
    for row in job.parts():
        job.finish(row)
    assert {row.deadline for row in job.parts()} == {document.deadline}
    assert [row.task for row in job.open()] == ["tierqueue.combine"]


def test_a_document_that_is_replayed_after_its_deadline_has_another(job: Job) -> None:
    job.submit([TEXT], deadline="1h")
    job.documents.tick()
    first, *others = job.parts()
    job.kill(first)
    for row in others:
        job.finish(row)
    job.documents.tick()
    (document,) = job.rows()
    with job.producer.ledger.write() as connection:
        connection.execute(update(items).values(deadline=1))
    replay(job.producer.app, [document.id], "ada")
    job.documents.tick()
    (document,) = job.rows()
    (again,) = job.open()
    assert document.deadline == again.deadline > document.submitted_at
