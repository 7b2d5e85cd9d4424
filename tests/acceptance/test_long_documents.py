"""A long document through a running system, of which everything is killed in the middle."""

import signal
from typing import Any

import pytest

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.waiting import until
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.tables import items
from tierqueue.tasks import ask_document

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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest, build_system: Build) -> RunningSystem:
    """A system with a routing stage and one tier, on each database."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    url = None if server is None else server.empty_database()
    return build_system(url, processes=("sandbox", *PROCESSES), environ={"TIERQUEUE_LEASE": "8"})


def ended(running: RunningSystem, task: str) -> int:
    """How many items of a task type have an answer."""
    with running.ledger.read() as connection:
        found = items.select().where(items.c.task == task, items.c.state == "succeeded")
        return len(connection.execute(found).all())


def test_nothing_is_paid_twice_and_the_answer_arrives(running: RunningSystem) -> None:
    told: dict[str, Any] = {"floor": "open_weight", "max_cost": "0.10usd", "deadline": "2h"}

    def asked() -> Any:
        question = "What did the speakers say?"
        how: dict[str, Any] = {"characters": 1_300, "split": "always", "idempotency_key": "meeting"}
        return ask_document(PAGES, question, **how, **told)

    with running.ledger.write() as connection:
        pauses.pause(connection, "task", "tierqueue.combine", "ada")
    first = asked()
    pieces = len(first.items) - 3
    assert pieces > 8
    until(lambda: ended(running, "tierqueue.ask") == pieces, 240)
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
    assert len(running.served()) == pieces + 3
    assert 0 < paid.cost < 100_000_000
