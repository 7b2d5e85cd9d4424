"""A long document through a running system, of which everything is killed in the middle."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.servers import PostgreSQL
from tests.waiting import until
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.tables import items
from tierqueue.tasks import Job, Pieces, ask, ask_document, submit_job

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PAGES = [
    f"Speaker {page}: this is what I said first, as number {page}.\n"
    + f"Speaker {page}: and this is what I went on to say about it.\n" * 20
    for page in range(1, 13)
]
PROCESSES = ("routing", "open_weight")


@pytest.fixture(scope="module")
def running(postgresql: PostgreSQL, build_system: Build) -> RunningSystem:
    """On one database: the moves of its items are tested on both in tests/ledger."""
    return build_system(
        postgresql.empty_database(),
        processes=("sandbox", *PROCESSES),
        environ={"TIERQUEUE_LEASE": "8"},
    )


def ended(running: RunningSystem, task: str) -> int:
    """How many items of a task type have an answer."""
    with running.ledger.read() as connection:
        found = items.select().where(items.c.task == task, items.c.state == "succeeded")
        return len(connection.execute(found).all())


def test_nothing_is_paid_twice_and_the_answer_arrives(running: RunningSystem) -> None:
    told: dict[str, Any] = {"floor": "open_weight", "max_cost": "0.10usd", "deadline": "2h"}
    before, asked_before = len(running.served()), ended(running, "tierqueue.ask")

    def asked() -> Any:
        question = "What did the speakers say?"
        how: dict[str, Any] = {"characters": 1_300, "split": "always", "idempotency_key": "meeting"}
        return ask_document(PAGES, question, **how, **told)

    with running.ledger.write() as connection:
        pauses.pause(connection, "task", "tierqueue.combine", "ada")
    first = asked()
    pieces = len(first.items) - 3
    assert pieces > 8
    until(lambda: ended(running, "tierqueue.ask") == asked_before + pieces, 240)
    for name in PROCESSES:
        running.system.processes[name].end(signal.SIGKILL)
    for name in PROCESSES:
        running.system.processes[name].wait(60)
    again = asked()
    with running.ledger.write() as connection:
        pauses.resume(connection, "task", "tierqueue.combine", "ada")
    for name in PROCESSES:
        running.system.spawn(name)
    for name in PROCESSES:
        running.system.processes[name].wait_ready()
    found = again.get(timeout=240)
    assert first.get(timeout=240) == found
    for citation in found.citations:
        said = PAGES[citation.page - 1][citation.start : citation.end]
        assert said.split() == citation.quotation.split()
    paid = again.paid()
    assert (paid.items, paid.calls, paid.missing) == (pieces + 3, pieces + 3, ())
    assert len(running.served()) - before == pieces + 3
    assert 0 < paid.cost < 100_000_000


def test_a_job_of_long_documents_is_killed_and_called_again(
    running: RunningSystem, tmp_path: Path
) -> None:
    source = tmp_path / "meetings.jsonl"
    texts = ["\n\n".join(PAGES), "\n\n".join(PAGES[:3]), PAGES[0][:900]]
    pieces = len(PAGES) + 3
    source.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    before, asked_before = len(running.served()), ended(running, "tierqueue.ask")

    def submitted() -> Job:
        return submit_job(
            source,
            ask,
            question="What did the speakers say in these meetings?",
            floor="open_weight",
            max_cost="1usd",
            pieces=Pieces(1_300, "always"),
        )

    with running.ledger.write() as connection:
        pauses.pause(connection, "task", "tierqueue.combine", "ada")
    job = submitted()

    def parts(kind: str) -> int:
        with running.ledger.read() as connection:
            of_job = items.select().where(items.c.job_id == job.id, items.c.part_of.is_not(None))
            return sum(row.task == kind for row in connection.execute(of_job))

    until(lambda: job.progress().states.get("succeeded") == 1, 240)
    until(lambda: ended(running, "tierqueue.ask") == asked_before + pieces + 1, 240)
    for name in PROCESSES:
        running.system.processes[name].end(signal.SIGKILL)
    for name in PROCESSES:
        running.system.processes[name].wait(60)
    again = submitted()
    assert again.progress().reused == 3
    with running.ledger.write() as connection:
        pauses.resume(connection, "task", "tierqueue.combine", "ada")
    for name in PROCESSES:
        running.system.spawn(name)
    for name in PROCESSES:
        running.system.processes[name].wait_ready()
    progress = job.wait(timeout=240)
    assert (progress.total, progress.states, progress.under_way) == (3, {"succeeded": 3}, 0)
    assert again.wait(timeout=60).spent == 0
    rows = list(job.results())
    assert [row["error"] for row in rows] == [None, None, None]
    for row, text in zip(rows, texts, strict=True):
        for citation in row["citations"]:
            said = text[citation["start"] : citation["end"]]
            assert said.split() == citation["quotation"].split()
    calls = len(running.served()) - before
    assert parts("tierqueue.ask") == pieces
    assert calls == pieces + parts("tierqueue.combine") + 1
    assert round(sum(row["cost"] for row in rows) * 1e9) == progress.spent > 0
