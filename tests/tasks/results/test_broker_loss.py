"""The broker forgets everything: results, chords and announcements come true all the same."""

import base64
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, chord
from celery.exceptions import ChordError
from sqlalchemy import text

from tests.tasks.foreign_app import foreign as foreign_app
from tests.tasks.foreign_app import tally
from tests.tasks.producer import Road
from tests.tasks.results.forgetting import a_while_ago, depth, flush, mend, shifted
from tests.waiting import until
from tierqueue.ledger.results import promises as ledger_promises
from tierqueue.router.errors import CostCeilingExceeded
from tierqueue.tasks import complete
from tierqueue.tasks.broker import names
from tierqueue.tasks.results import fulfil
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.workers.maintenance.upkeep import Upkeep

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    # Celery leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def road(road_to: Callable[[str], Road], ledger_url: str) -> Road:
    """A road on each database."""
    return road_to(ledger_url)


def test_get_returns_although_the_broker_forgot_everything_while_it_waited(
    road: Road, valkey: Any
) -> None:
    asked = complete.delay("Say hello")
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(asked.get(timeout=60)))
    waiting.start()
    until(lambda: road.app.backend.client.pubsub_channels("celery-task-meta-*"))
    road.tell(road.answer(asked.id, {"text": "before"}, tier="gpu"))
    waiting.join(60)
    assert got[0]["output"] == {"text": "before"}

    second = complete.delay("Say hello again")
    waiting = threading.Thread(target=lambda: got.append(second.get(timeout=60)))
    waiting.start()
    until(lambda: road.app.backend.client.pubsub_channels("celery-task-meta-*"))
    # The stage commits the answer and dies before it tells; the broker loses all else.
    road.answer(second.id, {"text": "hello"}, tier="gpu")
    flush(valkey)
    waiting.join(60)
    assert [answer["output"]["text"] for answer in got] == ["before", "hello"]


def test_a_result_that_redis_lost_is_read_from_the_ledger(road: Road, valkey: Any) -> None:
    answered, dead = complete.delay("one"), complete.delay("two")
    road.tell(
        road.answer(answered.id, {"text": "one"}), road.kill(dead.id, "cost_ceiling", limit=5)
    )
    flush(valkey)
    a_while_ago(road)
    assert road.app.AsyncResult(answered.id).get(timeout=60)["output"] == {"text": "one"}
    assert road.app.AsyncResult(answered.id).state == "SUCCESS"
    with pytest.raises(CostCeilingExceeded) as raised:
        road.app.AsyncResult(dead.id).get(timeout=60)
    assert raised.value.fields == {"limit": 5}
    assert road.app.AsyncResult("nobody's").state == "PENDING"


def test_a_result_without_a_ledger_waits_as_celery_does(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = complete.delay("one")
    road.answer(asked.id, {"text": "one"})
    a_while_ago(road)
    monkeypatch.delenv("TIERQUEUE_LEDGER_URL")
    road.app._made.pop("settings")
    assert road.app.AsyncResult(asked.id).state == "PENDING"


def test_after_a_loss_a_caller_that_has_only_celery_is_told_again(
    road: Road, valkey: Any, stranger: Celery
) -> None:
    asked = complete.delay("one")
    road.tell(road.answer(asked.id, {"text": "one"}))
    mend(road)
    flush(valkey)
    a_while_ago(road)
    theirs = stranger.AsyncResult(asked.id)
    assert theirs.state == "PENDING"
    mend(road)

    with road.ledger.read() as connection:
        owed, _ = ledger_promises.overdue(connection, 2**62, 10)
    assert [promise.id for promise, _ in owed] == [asked.id]
    Delivery(road.app).keep(owed)
    assert theirs.get(timeout=60)["output"] == {"text": "one"}


def test_a_promise_with_links_that_is_told_late_reaches_a_caller_that_has_only_celery(
    road: Road, stranger: Celery
) -> None:
    asked = complete.apply_async(("one",), link=complete.si("next"))
    ending = road.answer(asked.id, {"text": "one"})
    a_while_ago(road)
    assert asked.state == "SUCCESS"
    road.tell(ending)
    assert stranger.AsyncResult(asked.id).get(timeout=60)["output"] == {"text": "one"}


def test_after_a_loss_links_are_not_sent_a_second_time(road: Road, valkey: Any) -> None:
    foreign_app.conf.update(broker_url=valkey.url, result_backend=valkey.url)
    asked = complete.apply_async(("one",), link=tally.s())
    road.tell(road.answer(asked.id, {"text": "one"}))
    assert depth(road, "foreign") == 1
    mend(road)
    flush(valkey)
    a_while_ago(road)
    mend(road)
    with road.ledger.read() as connection:
        owed, _ = ledger_promises.overdue(connection, 2**62, 10)
    assert [promise.id for promise, _ in owed] == [asked.id]
    assert fulfil.keep(road.app, owed) == [asked.id]
    assert depth(road, "foreign") == 0
    assert road.app.backend.client.exists(f"celery-task-meta-{asked.id}")


def test_without_a_loss_nothing_is_told_again(road: Road) -> None:
    asked = complete.delay("one")
    mend(road)
    road.tell(road.answer(asked.id, {"text": "one"}))
    a_while_ago(road)
    mend(road)
    with road.ledger.read() as connection:
        kept = text("SELECT count(*) FROM promises WHERE kept_at IS NOT NULL")
        assert connection.execute(kept).scalar() == 1


def test_the_answer_of_a_regulated_item_soon_leaves_the_broker(road: Road) -> None:
    usual, regulated = complete.delay("a"), complete.delay("b")
    linked = complete.apply_async(("c",), link=complete.si("next"))
    road.tell(
        road.answer(usual.id, {}),
        road.answer(regulated.id, {}, sensitivity="regulated"),
        road.answer(linked.id, {}, sensitivity="regulated"),
    )
    ttl = {
        result.id: road.app.backend.client.ttl(f"celery-task-meta-{result.id}")
        for result in (usual, regulated, linked)
    }
    assert ttl[usual.id] > 80_000
    assert 0 < ttl[regulated.id] <= 300
    assert 0 < ttl[linked.id] <= 300


def test_a_chord_of_items_comes_true_although_the_broker_forgot_its_first_part(
    road: Road, valkey: Any
) -> None:
    asked = chord([complete.s("a"), complete.s("b"), complete.s("c")], complete.si("body"))()
    first, second, third = asked.parent.results
    road.tell_twice(road.answer(first.id, {"text": "1"}))
    flush(valkey)
    road.tell_twice(road.answer(third.id, {"text": "3"}))
    flush(valkey)
    assert road.item(asked.id) is None
    road.tell_twice(road.answer(second.id, {"text": "2"}))
    body = road.item(asked.id)
    assert body.arguments["prompt"] == "body"
    assert len(road.all_items()) == 4
    road.tell(road.answer(asked.id, {"text": "end"}))
    assert asked.get(timeout=60)["output"] == {"text": "end"}


def test_a_foreign_body_of_a_chord_of_items_is_sent_once_with_the_answers_in_order(
    road: Road, valkey: Any
) -> None:
    foreign_app.conf.update(broker_url=valkey.url, result_backend=valkey.url)
    asked = chord([complete.s("a"), complete.s("b")], tally.s())()
    first, second = asked.parent.results
    road.tell_twice(road.answer(second.id, {"text": "2"}))
    flush(valkey)
    road.tell_twice(road.answer(first.id, {"text": "1"}))
    _flush_markers(road)
    road.tell_twice(road.answer(second.id, {"text": "2"}))
    message = json.loads(road.app.backend.client.lrange("foreign", 0, -1)[0])
    assert depth(road, "foreign") == 1
    assert message["headers"]["id"] == asked.id


def _flush_markers(road: Road) -> None:
    for key in road.app.backend.client.scan_iter("tierqueue-promise-*"):
        road.app.backend.client.delete(key)


def test_a_dead_part_fails_the_body_of_a_chord_that_the_broker_forgot(
    road: Road, valkey: Any
) -> None:
    asked = chord([complete.s("a"), complete.s("b")], complete.si("body"))()
    first, second = asked.parent.results
    road.tell(road.kill(first.id, "no_route"))
    flush(valkey)
    road.tell(road.answer(second.id, {"text": "2"}))
    with pytest.raises(ChordError, match="died of no_route"):
        road.app.AsyncResult(asked.id).get(timeout=60)
    assert road.item(asked.id) is None


def test_a_dead_letter_is_announced_once_on_the_queue_of_its_tier(road: Road) -> None:
    asked = complete.delay("one")
    ending = road.kill(asked.id, "no_route")
    road.tell(ending)
    mend(road)
    road.tell(ending)
    [raw] = road.app.backend.client.lrange(names.dead_queue(None), 0, -1)
    message = json.loads(raw)
    assert message["headers"]["task"] == "tierqueue.dead_letter"
    _, told, _ = json.loads(base64.b64decode(message["body"]))
    assert told == {"item": asked.id, "reason": "no_route"}


def test_a_dead_letter_nobody_announced_is_announced_by_the_tick(road: Road) -> None:
    asked = complete.delay("one")
    road.kill(asked.id, "no_route")
    shifted(road, "items", "ended_at", 3600)
    mend(road)
    assert depth(road, "dead.route") == 0
    shifted(road, "items", "ended_at", -3600)
    a_while_ago(road)
    mend(road)
    mend(road)
    assert depth(road, "dead.route") == 1


def test_consuming_an_announcement_changes_nothing_and_a_loss_repeats_it(
    road: Road, valkey: Any
) -> None:
    mend(road)
    asked = complete.delay("one")
    road.tell(road.kill(asked.id, "no_route"))
    road.app.backend.client.delete("dead.route")
    before = road.item(asked.id)
    mend(road)
    assert depth(road, "dead.route") == 0
    assert road.item(asked.id) == before
    flush(valkey)
    a_while_ago(road)
    with road.ledger.write() as connection:
        connection.execute(text("UPDATE items SET announced_at = announced_at - 5000000"))
    mend(road)
    mend(road)
    assert depth(road, "dead.route") == 1


def test_announcing_waits_for_the_broker_and_raises_nothing(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = complete.delay("one")
    ending = road.kill(asked.id, "no_route")

    tried: list[None] = []

    def down(*_: Any, **__: Any) -> None:
        tried.append(None)
        raise ConnectionError("refused")

    with monkeypatch.context() as broken:
        broken.setattr(road.app.backend.client, "pipeline", down)
        road.tell(ending)
        # Nobody tries again and again while the stage waits for it.
        assert len(tried) == 1
    assert road.item(asked.id).announced_at is None
    a_while_ago(road)
    Upkeep(road.app).round()
    assert road.item(asked.id).announced_at is not None
