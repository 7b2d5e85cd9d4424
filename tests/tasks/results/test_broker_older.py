"""The broker comes back from an older copy of itself: what it was told since is told again."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery

from tests.tasks.producer import Producer
from tests.tasks.results.forgetting import a_while_ago, depth, flush, mend
from tests.waiting import until
from tierqueue.ledger.results import promises as ledger_promises
from tierqueue.operations.erase import erase
from tierqueue.tasks import complete
from tierqueue.tasks.broker import names
from tierqueue.tasks.results.delivery import Delivery

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    """A producer on each database."""
    return producer_to(ledger_url)


def _copy(producer: Producer) -> dict[bytes, Any]:
    """What the broker holds of results and of itself, as a snapshot would."""
    client = producer.app.backend.client
    keys = [*client.keys("celery-task-meta-*"), *client.keys("tierqueue:*"), *client.keys("dead.*")]
    return {key: client.dump(key) for key in keys}


def _come_back_from(producer: Producer, valkey: Any, copy: dict[bytes, Any]) -> None:
    flush(valkey)
    for key, dumped in copy.items():
        producer.app.backend.client.restore(key, 0, dumped)


def test_a_broker_that_comes_back_from_an_older_copy_is_told_again_what_it_was_told_since(
    producer: Producer, valkey: Any, stranger: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rounds follow each other, however long this test takes: somebody looks all the time.
    monkeypatch.setattr("tierqueue.workers.maintenance.upkeep._UNWATCHED_US", 3_600_000_000)
    upkeep = producer.upkeep()
    before, since, dead, gone = (complete.delay(word) for word in ("a", "b", "c", "d"))
    upkeep.round()
    upkeep.round()
    producer.tell(
        producer.answer(before.id, {"text": "before"}), producer.answer(gone.id, {"text": "gone"})
    )
    upkeep.round()
    copy = _copy(producer)
    until(lambda: producer.ledger.now() > int(producer.app.backend.client.get(names.BEAT)) + 1000)
    producer.tell(producer.answer(since.id, {"text": "since"}), producer.kill(dead.id, "no_route"))
    erase(producer.ledger, producer.app, [gone.id], by="ada", why="a test", patience_seconds=1)
    upkeep.round()
    _come_back_from(producer, valkey, copy)
    theirs = stranger.AsyncResult(since.id)
    assert (theirs.state, stranger.AsyncResult(gone.id).state) == ("PENDING", "SUCCESS")
    upkeep.round()
    upkeep.round()
    with producer.ledger.read() as connection:
        owed, _ = ledger_promises.overdue(connection, 2**62, 10)
    assert {promise.id for promise, _ in owed} == {since.id, dead.id}
    Delivery(producer.app).fulfil(owed)
    assert theirs.get(timeout=60)["output"] == {"text": "since"}
    assert stranger.AsyncResult(gone.id).state == "PENDING"
    assert stranger.AsyncResult(before.id).state == "SUCCESS"
    a_while_ago(producer)
    upkeep.round()
    assert depth(producer, "dead.route") == 1
    upkeep.round()
    with producer.ledger.read() as connection:
        assert ledger_promises.overdue(connection, 2**62, 10)[0] == []


def test_what_was_told_while_no_routing_stage_looked_is_told_again(
    producer: Producer, stranger: Celery
) -> None:
    producer.upkeep().round()
    producer.upkeep().round()
    asked = complete.delay("a")
    producer.tell(producer.answer(asked.id, {"text": "a"}))
    client = producer.app.backend.client
    client.set(names.BEAT, producer.ledger.now() - 3_600_000_000)
    client.delete(f"celery-task-meta-{asked.id}")
    mend(producer)
    with producer.ledger.read() as connection:
        owed, _ = ledger_promises.overdue(connection, 2**62, 10)
    assert [promise.id for promise, _ in owed] == [asked.id]
