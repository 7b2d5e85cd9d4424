"""The broker comes back from an older copy of itself: what it was told since is told again."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery

from tests.tasks.producer import Road
from tests.tasks.results.forgetting import a_while_ago, depth, flush, mend
from tests.waiting import until
from tierqueue.ledger.results import promises as ledger_promises
from tierqueue.operations.erase import erase
from tierqueue.tasks import complete
from tierqueue.tasks.broker import names
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.workers.maintenance.upkeep import Upkeep

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def road(road_to: Callable[[str], Road], ledger_url: str) -> Road:
    """A road on each database."""
    return road_to(ledger_url)


def _copy(road: Road) -> dict[bytes, Any]:
    """What the broker holds of results and of itself, as a snapshot would."""
    client = road.app.backend.client
    keys = [*client.keys("celery-task-meta-*"), *client.keys("tierqueue:*"), *client.keys("dead.*")]
    return {key: client.dump(key) for key in keys}


def _come_back_from(road: Road, valkey: Any, copy: dict[bytes, Any]) -> None:
    flush(valkey)
    for key, dumped in copy.items():
        road.app.backend.client.restore(key, 0, dumped)


def test_a_broker_that_comes_back_from_an_older_copy_is_told_again_what_it_was_told_since(
    road: Road, valkey: Any, stranger: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rounds follow each other, however long this test takes: somebody looks all the time.
    monkeypatch.setattr("tierqueue.workers.maintenance.upkeep._UNWATCHED", 3_600_000_000)
    upkeep = Upkeep(road.app)
    before, since, dead, gone = (complete.delay(word) for word in ("a", "b", "c", "d"))
    upkeep.round()
    upkeep.round()
    road.tell(road.answer(before.id, {"text": "before"}), road.answer(gone.id, {"text": "gone"}))
    upkeep.round()
    copy = _copy(road)
    until(lambda: road.ledger.now() > int(road.app.backend.client.get(names.BEAT)) + 1000)
    road.tell(road.answer(since.id, {"text": "since"}), road.kill(dead.id, "no_route"))
    erase(road.app, [gone.id], by="ada", why="a test", patience=1)
    upkeep.round()
    _come_back_from(road, valkey, copy)
    theirs = stranger.AsyncResult(since.id)
    assert (theirs.state, stranger.AsyncResult(gone.id).state) == ("PENDING", "SUCCESS")
    upkeep.round()
    upkeep.round()
    with road.ledger.read() as connection:
        owed, _ = ledger_promises.overdue(connection, 2**62, 10)
    assert {promise.id for promise, _ in owed} == {since.id, dead.id}
    Delivery(road.app).keep(owed)
    assert theirs.get(timeout=60)["output"] == {"text": "since"}
    assert stranger.AsyncResult(gone.id).state == "PENDING"
    assert stranger.AsyncResult(before.id).state == "SUCCESS"
    a_while_ago(road)
    upkeep.round()
    assert depth(road, "dead.route") == 1
    upkeep.round()
    with road.ledger.read() as connection:
        assert ledger_promises.overdue(connection, 2**62, 10)[0] == []


def test_what_was_told_while_no_routing_stage_looked_is_told_again(
    road: Road, stranger: Celery
) -> None:
    Upkeep(road.app).round()
    Upkeep(road.app).round()
    asked = complete.delay("a")
    road.tell(road.answer(asked.id, {"text": "a"}))
    client = road.app.backend.client
    client.set(names.BEAT, road.ledger.now() - 3_600_000_000)
    client.delete(f"celery-task-meta-{asked.id}")
    mend(road)
    with road.ledger.read() as connection:
        owed, _ = ledger_promises.overdue(connection, 2**62, 10)
    assert [promise.id for promise, _ in owed] == [asked.id]
