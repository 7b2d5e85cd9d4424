"""Replay is the way back: whoever waited for a dead item is told its answer in the end."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import ChordError
from sqlalchemy import text

from tests.tasks.foreign_app import echo, mourn
from tests.tasks.foreign_app import foreign as foreign_app
from tests.tasks.producer import Producer
from tests.waiting import until
from tierqueue.ledger.results.promises import unfulfilled
from tierqueue.router.errors import Cancelled, NoRoute
from tierqueue.tasks import complete
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.results.replay import replay

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    # Celery leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def producer(producer_to: Callable[[str], Producer], ledger_url: str, valkey: Any) -> Producer:
    """A producer on each database."""
    foreign_app.conf.update(broker_url=valkey.url, result_backend=valkey.url)
    return producer_to(ledger_url)


def _a_while_ago(producer: Producer) -> None:
    with producer.ledger.write() as connection:
        connection.execute(text("UPDATE items SET ended_at = ended_at - 5000000"))


def _remembered(producer: Producer, task_id: str) -> bytes | None:
    found: bytes | None = producer.app.backend.client.get(f"celery-task-meta-{task_id}")
    return found


def test_a_replayed_item_tells_its_producers_its_answer(
    producer: Producer, stranger: Celery
) -> None:
    asked = complete.delay("Say hello")
    theirs = stranger.AsyncResult(asked.id)
    producer.die(asked.id)
    with pytest.raises(NoRoute):
        asked.get(timeout=60)
    assert theirs.state == "FAILURE"
    assert replay(producer.app, [asked.id], "ada") == [asked.id]
    theirs = stranger.AsyncResult(asked.id)
    assert [asked.state, theirs.state, asked.ready()] == ["PENDING"] * 2 + [False]
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(asked.get(timeout=60)))
    waiting.start()
    until(lambda: producer.app.backend.client.pubsub_channels("celery-task-meta-*"))
    producer.tell(producer.answer(asked.id, {"text": "hello"}))
    waiting.join(60)
    assert got[0]["output"] == {"text": "hello"}
    assert theirs.get(timeout=60)["output"] == {"text": "hello"}
    assert [asked.state, theirs.state] == ["SUCCESS"] * 2


def test_a_replayed_item_that_dies_again_says_why_and_may_be_replayed_again(
    producer: Producer,
) -> None:
    asked = complete.delay("Say hello")
    for reason in ("no_route", "exhausted"):
        producer.die(asked.id, reason)
        assert asked.state == "FAILURE"
        assert reason in str(asked.result)
        replay(producer.app, [asked.id], "ada")
    producer.tell(producer.answer(asked.id, {"text": "hello"}))
    assert asked.get(timeout=60)["output"] == {"text": "hello"}


def test_every_promise_of_a_replayed_item_is_owed_anew(producer: Producer) -> None:
    first = complete.delay("one", idempotency_key="k")
    second = complete.delay("one", idempotency_key="k")
    producer.die(first.id)
    third = complete.delay("one", idempotency_key="k")
    assert third.state == "FAILURE"
    replay(producer.app, [first.id], "ada")
    producer.tell(producer.answer(first.id, {"text": "hello"}))
    for result in (first, second, third):
        assert result.get(timeout=60)["output"] == {"text": "hello"}
        assert _remembered(producer, result.id)


def test_an_older_copy_of_the_broker_does_not_deceive_whoever_reaches_the_ledger(
    producer: Producer,
) -> None:
    answered, open_, cancelled = (complete.delay(word) for word in ("one", "two", "three"))
    ended = [producer.die(result.id) for result in (answered, open_, cancelled)]
    older = {result.id: _remembered(producer, result.id) for result in (answered, open_, cancelled)}
    replay(producer.app, [ending.item_id for ending in ended], "ada")
    producer.tell(producer.answer(answered.id, {"text": "hello"}))
    producer.kill(cancelled.id, "cancelled")
    with producer.ledger.write() as connection:
        gone = text("UPDATE items SET state = 'cancelled' WHERE id = :id")
        connection.execute(gone, {"id": cancelled.id})
    _a_while_ago(producer)
    for task_id, remembered in older.items():
        producer.app.backend.client.set(f"celery-task-meta-{task_id}", remembered)
    read = {
        result.id: producer.app.AsyncResult(result.id) for result in (answered, open_, cancelled)
    }
    states = [read[result.id].state for result in (answered, open_, cancelled)]
    assert states == ["SUCCESS", "PENDING", "REVOKED"]
    assert read[answered.id].get(timeout=60)["output"] == {"text": "hello"}
    with pytest.raises(Cancelled):
        read[cancelled.id].get(timeout=60)
    both = producer.app.GroupResult("g", [producer.app.AsyncResult(answered.id)])
    assert [answer["output"] for answer in both.get(timeout=60)] == [{"text": "hello"}]


def test_whoever_tells_late_of_a_death_changes_no_answer(producer: Producer) -> None:
    asked = complete.delay("Say hello")
    ending = producer.kill(asked.id, "no_route")
    with producer.ledger.read() as connection:
        late = [(promise, ending) for promise in unfulfilled(connection, [asked.id])]
    replay(producer.app, [asked.id], "ada")
    Delivery(producer.app).fulfil(late)
    assert asked.state == "PENDING"
    producer.tell(producer.answer(asked.id, {"text": "hello"}))
    assert producer.fulfil(late) == [asked.id]
    assert asked.get(timeout=60)["output"] == {"text": "hello"}


def test_links_go_on_after_a_replay_and_errbacks_are_not_sent_again(
    producer: Producer, foreign: Any
) -> None:
    asked = complete.apply_async(("one",), link=echo.s(tag="linked"), link_error=mourn.s())
    for _ in range(2):
        producer.die(asked.id)
        replay(producer.app, [asked.id], "ada")
    producer.tell_twice(producer.answer(asked.id, {"text": "done"}))
    # Another team's worker does them side by side: what was sent first may be noted last.
    until(lambda: {note[0] for note in producer.notes()} == {"echo", "mourn"})
    assert sorted(note[0] for note in producer.notes()) == ["echo", "mourn"]
    assert ["echo", "linked", asked.id, asked.id] in producer.notes()


def test_a_chain_goes_on_after_the_replay_of_its_first_step(
    producer: Producer, stranger: Celery
) -> None:
    asked = chain(complete.s("one"), complete.si("two"), complete.si("three")).apply_async()
    first = asked.parent.parent.id
    producer.die(first)
    assert {
        stranger.AsyncResult(item_id).state for item_id in (first, asked.parent.id, asked.id)
    } == {"FAILURE"}
    replay(producer.app, [first], "ada")
    assert {
        stranger.AsyncResult(item_id).state for item_id in (first, asked.parent.id, asked.id)
    } == {"PENDING"}
    for step in (first, asked.parent.id, asked.id):
        producer.tell_twice(producer.answer(step, {"text": "done"}))
    assert asked.get(timeout=60)["output"] == {"text": "done"}


@pytest.mark.parametrize("of", ["chain", "chord"])
def test_whoever_has_read_the_failure_of_an_earlier_step_gets_the_answer_after_a_replay(
    producer: Producer, of: str
) -> None:
    if of == "chain":
        asked = chain(complete.s("one"), complete.si("two")).apply_async()
        first = asked.parent.id
    else:
        asked = chord([complete.s("one"), complete.s("too")], complete.si("two")).apply_async()
        first, other = (result.id for result in asked.parent.results)
        producer.tell(producer.answer(other, {"text": "too"}))
    producer.die(first)
    with pytest.raises((NoRoute, ChordError)):
        asked.get(timeout=5)
    with pytest.raises(NoRoute):
        asked.parent.get(timeout=5)
    replay(producer.app, [first], "ada")
    for step in (first, asked.id):
        producer.tell_twice(producer.answer(step, {"text": "done"}))
    assert asked.get(timeout=5)["output"] == {"text": "done"}


def test_a_group_with_a_replayed_part_gives_all_its_answers(producer: Producer) -> None:
    asked = group(complete.s("one"), complete.s("two")).apply_async()
    first, second = asked.results
    producer.tell(producer.answer(first.id, {"text": "1"}))
    producer.die(second.id)
    with pytest.raises(NoRoute):
        asked.get(timeout=60)
    replay(producer.app, [second.id], "ada")
    assert (asked.ready(), asked.failed()) == (False, False)
    producer.tell(producer.answer(second.id, {"text": "2"}))
    assert [answer["output"]["text"] for answer in asked.get(timeout=60)] == ["1", "2"]


def test_a_replay_without_a_broker_raises_nothing_and_comes_true_later(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = complete.delay("Say hello")
    producer.die(asked.id)

    def down(*_: Any) -> None:
        raise ConnectionError("refused")

    with monkeypatch.context() as broken:
        broken.setattr(producer.app.backend.client, "delete", down)
        assert replay(producer.app, [asked.id], "ada") == [asked.id]
    assert b"FAILURE" in (_remembered(producer, asked.id) or b"")
    assert producer.app.AsyncResult(asked.id).state == "PENDING"
    producer.tell(producer.answer(asked.id, {"text": "hello"}))
    assert asked.get(timeout=60)["output"] == {"text": "hello"}


def test_flower_shows_a_replayed_item_as_one_that_is_tried_again(
    producer: Producer, stranger: Celery
) -> None:
    flower = stranger.events.State()
    with stranger.connection_for_read() as connection:
        receiver = stranger.events.Receiver(connection, handlers={"*": flower.event})
        consuming = receiver.itercapture(limit=None, timeout=10, wakeup=False)
        next(consuming, None)
        asked = complete.delay("Say hello")

        def shown() -> str | None:
            next(consuming, None)
            task = flower.tasks.get(asked.id)
            return None if task is None else str(task.state)

        producer.die(asked.id)
        until(lambda: shown() == "FAILURE")
        replay(producer.app, [asked.id], "ada")
        until(lambda: shown() == "RETRY")
        producer.tell(producer.answer(asked.id, {"text": "hello"}))
        until(lambda: shown() == "SUCCESS")
