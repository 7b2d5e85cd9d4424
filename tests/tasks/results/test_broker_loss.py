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
from tests.tasks.producer import Producer
from tests.tasks.results.forgetting import a_while_ago, depth, flush, mend, shifted
from tests.waiting import until
from tierqueue.ledger.results import promises as ledger_promises
from tierqueue.router.errors import CostCeilingExceeded
from tierqueue.tasks import complete
from tierqueue.tasks.broker import names
from tierqueue.tasks.results.delivery import Delivery

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    # Celery leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    """A producer on each database."""
    return producer_to(ledger_url)


def test_get_returns_although_the_broker_forgot_everything_while_it_waited(
    producer: Producer, valkey: Any
) -> None:
    asked = complete.delay("Say hello")
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(asked.get(timeout=60)))
    waiting.start()
    until(lambda: producer.app.backend.client.pubsub_channels("celery-task-meta-*"))
    producer.tell(producer.answer(asked.id, {"text": "before"}, tier="gpu"))
    waiting.join(60)
    assert got[0]["output"] == {"text": "before"}

    second = complete.delay("Say hello again")
    waiting = threading.Thread(target=lambda: got.append(second.get(timeout=60)))
    waiting.start()
    until(lambda: producer.app.backend.client.pubsub_channels("celery-task-meta-*"))
    # The stage commits the answer and dies before it tells; the broker loses all else.
    producer.answer(second.id, {"text": "hello"}, tier="gpu")
    flush(valkey)
    waiting.join(60)
    assert [answer["output"]["text"] for answer in got] == ["before", "hello"]


def test_a_result_that_redis_lost_is_read_from_the_ledger(producer: Producer, valkey: Any) -> None:
    answered, dead = complete.delay("one"), complete.delay("two")
    producer.tell(
        producer.answer(answered.id, {"text": "one"}),
        producer.kill(dead.id, "cost_ceiling", limit=5),
    )
    flush(valkey)
    a_while_ago(producer)
    assert producer.app.AsyncResult(answered.id).get(timeout=60)["output"] == {"text": "one"}
    assert producer.app.AsyncResult(answered.id).state == "SUCCESS"
    with pytest.raises(CostCeilingExceeded) as raised:
        producer.app.AsyncResult(dead.id).get(timeout=60)
    assert raised.value.fields == {"limit": 5}
    assert producer.app.AsyncResult("nobody's").state == "PENDING"


def test_a_result_without_a_ledger_waits_as_celery_does(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = complete.delay("one")
    producer.answer(asked.id, {"text": "one"})
    a_while_ago(producer)
    monkeypatch.delenv("TIERQUEUE_LEDGER_URL")
    del producer.app.installation.settings
    assert producer.app.AsyncResult(asked.id).state == "PENDING"


def test_after_a_loss_a_caller_that_has_only_celery_is_told_again(
    producer: Producer, valkey: Any, stranger: Celery
) -> None:
    asked = complete.delay("one")
    producer.tell(producer.answer(asked.id, {"text": "one"}))
    mend(producer)
    flush(valkey)
    a_while_ago(producer)
    theirs = stranger.AsyncResult(asked.id)
    assert theirs.state == "PENDING"
    mend(producer)

    with producer.ledger.read() as connection:
        owed, _ = ledger_promises.overdue(connection, 2**62, 10)
    assert [promise.id for promise, _ in owed] == [asked.id]
    Delivery(producer.app).fulfil(owed)
    assert theirs.get(timeout=60)["output"] == {"text": "one"}


def test_a_promise_with_links_that_is_told_late_reaches_a_caller_that_has_only_celery(
    producer: Producer, stranger: Celery
) -> None:
    asked = complete.apply_async(("one",), link=complete.si("next"))
    ending = producer.answer(asked.id, {"text": "one"})
    a_while_ago(producer)
    assert asked.state == "SUCCESS"
    producer.tell(ending)
    assert stranger.AsyncResult(asked.id).get(timeout=60)["output"] == {"text": "one"}


def test_after_a_loss_links_are_not_sent_a_second_time(producer: Producer, valkey: Any) -> None:
    foreign_app.conf.update(broker_url=valkey.url, result_backend=valkey.url)
    asked = complete.apply_async(("one",), link=tally.s())
    producer.tell(producer.answer(asked.id, {"text": "one"}))
    assert depth(producer, "foreign") == 1
    mend(producer)
    flush(valkey)
    a_while_ago(producer)
    mend(producer)
    with producer.ledger.read() as connection:
        owed, _ = ledger_promises.overdue(connection, 2**62, 10)
    assert [promise.id for promise, _ in owed] == [asked.id]
    assert producer.fulfil(owed) == [asked.id]
    assert depth(producer, "foreign") == 0
    assert producer.app.backend.client.exists(f"celery-task-meta-{asked.id}")


def test_without_a_loss_nothing_is_told_again(producer: Producer) -> None:
    asked = complete.delay("one")
    mend(producer)
    producer.tell(producer.answer(asked.id, {"text": "one"}))
    a_while_ago(producer)
    mend(producer)
    with producer.ledger.read() as connection:
        kept = text("SELECT count(*) FROM promises WHERE kept_at IS NOT NULL")
        assert connection.execute(kept).scalar() == 1


def test_the_answer_of_a_regulated_item_soon_leaves_the_broker(producer: Producer) -> None:
    usual, regulated = complete.delay("a"), complete.delay("b")
    linked = complete.apply_async(("c",), link=complete.si("next"))
    producer.tell(
        producer.answer(usual.id, {}),
        producer.answer(regulated.id, {}, sensitivity="regulated"),
        producer.answer(linked.id, {}, sensitivity="regulated"),
    )
    ttl = {
        result.id: producer.app.backend.client.ttl(f"celery-task-meta-{result.id}")
        for result in (usual, regulated, linked)
    }
    assert ttl[usual.id] > 80_000
    assert 0 < ttl[regulated.id] <= 300
    assert 0 < ttl[linked.id] <= 300


def test_a_chord_of_items_comes_true_although_the_broker_forgot_its_first_part(
    producer: Producer, valkey: Any
) -> None:
    asked = chord([complete.s("a"), complete.s("b"), complete.s("c")], complete.si("body"))()
    first, second, third = asked.parent.results
    producer.tell_twice(producer.answer(first.id, {"text": "1"}))
    flush(valkey)
    producer.tell_twice(producer.answer(third.id, {"text": "3"}))
    flush(valkey)
    assert producer.item(asked.id) is None
    producer.tell_twice(producer.answer(second.id, {"text": "2"}))
    body = producer.item(asked.id)
    assert body.arguments["prompt"] == "body"
    assert len(producer.all_items()) == 4
    producer.tell(producer.answer(asked.id, {"text": "end"}))
    assert asked.get(timeout=60)["output"] == {"text": "end"}


def test_a_foreign_body_of_a_chord_of_items_is_sent_once_with_the_answers_in_order(
    producer: Producer, valkey: Any
) -> None:
    foreign_app.conf.update(broker_url=valkey.url, result_backend=valkey.url)
    asked = chord([complete.s("a"), complete.s("b")], tally.s())()
    first, second = asked.parent.results
    producer.tell_twice(producer.answer(second.id, {"text": "2"}))
    flush(valkey)
    producer.tell_twice(producer.answer(first.id, {"text": "1"}))
    _flush_markers(producer)
    producer.tell_twice(producer.answer(second.id, {"text": "2"}))
    message = json.loads(producer.app.backend.client.lrange("foreign", 0, -1)[0])
    assert depth(producer, "foreign") == 1
    assert message["headers"]["id"] == asked.id


def _flush_markers(producer: Producer) -> None:
    for key in producer.app.backend.client.scan_iter("tierqueue-promise-*"):
        producer.app.backend.client.delete(key)


def test_a_dead_part_fails_the_body_of_a_chord_that_the_broker_forgot(
    producer: Producer, valkey: Any
) -> None:
    asked = chord([complete.s("a"), complete.s("b")], complete.si("body"))()
    first, second = asked.parent.results
    producer.tell(producer.kill(first.id, "no_route"))
    flush(valkey)
    producer.tell(producer.answer(second.id, {"text": "2"}))
    with pytest.raises(ChordError, match="died of no_route"):
        producer.app.AsyncResult(asked.id).get(timeout=60)
    assert producer.item(asked.id) is None


def test_a_dead_letter_is_announced_once_on_the_queue_of_its_tier(producer: Producer) -> None:
    asked = complete.delay("one")
    ending = producer.kill(asked.id, "no_route")
    producer.tell(ending)
    mend(producer)
    producer.tell(ending)
    [raw] = producer.app.backend.client.lrange(names.dead_queue(None), 0, -1)
    message = json.loads(raw)
    assert message["headers"]["task"] == "tierqueue.dead_letter"
    _, told, _ = json.loads(base64.b64decode(message["body"]))
    assert told == {"item": asked.id, "reason": "no_route"}


def test_a_dead_letter_nobody_announced_is_announced_by_the_tick(producer: Producer) -> None:
    asked = complete.delay("one")
    producer.kill(asked.id, "no_route")
    shifted(producer, "items", "ended_at", 3600)
    mend(producer)
    assert depth(producer, "dead.route") == 0
    shifted(producer, "items", "ended_at", -3600)
    a_while_ago(producer)
    mend(producer)
    mend(producer)
    assert depth(producer, "dead.route") == 1


def test_consuming_an_announcement_changes_nothing_and_a_loss_repeats_it(
    producer: Producer, valkey: Any
) -> None:
    mend(producer)
    asked = complete.delay("one")
    producer.tell(producer.kill(asked.id, "no_route"))
    producer.app.backend.client.delete("dead.route")
    before = producer.item(asked.id)
    mend(producer)
    assert depth(producer, "dead.route") == 0
    assert producer.item(asked.id) == before
    flush(valkey)
    a_while_ago(producer)
    with producer.ledger.write() as connection:
        connection.execute(text("UPDATE items SET announced_at = announced_at - 5000000"))
    mend(producer)
    mend(producer)
    assert depth(producer, "dead.route") == 1


def test_announcing_waits_for_the_broker_and_raises_nothing(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = complete.delay("one")
    ending = producer.kill(asked.id, "no_route")

    tried: list[None] = []

    def down(*_: Any, **__: Any) -> None:
        tried.append(None)
        raise ConnectionError("refused")

    with monkeypatch.context() as broken:
        broken.setattr(producer.app.backend.client, "pipeline", down)
        producer.tell(ending)
        # Nobody tries again and again while the stage waits for it.
        assert len(tried) == 1
    assert producer.item(asked.id).announced_at is None
    a_while_ago(producer)
    producer.upkeep().round()
    assert producer.item(asked.id).announced_at is not None
