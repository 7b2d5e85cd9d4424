"""Calls by name, from a service that has only Celery, through a real intake process."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import Reject
from sqlalchemy import text

from tests.ledger.placed import commit
from tests.tasks.producer import Producer, Worker
from tests.waiting import until
from tierqueue.ledger.results.promises import Promise
from tierqueue.ledger.tables import items, raw_messages
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks import complete
from tierqueue.tasks.submission import intake
from tierqueue.tasks.submission.intake import take_in

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    # Celery leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SECRET = "the patient's name is Quillfeather"


def by_name(stranger: Celery, prompt: str = "hello", **kwargs: Any) -> Any:
    return stranger.signature(
        "tierqueue.complete", kwargs={"prompt": prompt, **kwargs}, queue="route"
    )


def take(producer: Producer, call_id: str, kwargs: dict[str, Any], **times: Any) -> None:
    promise = Promise(id=call_id, item_id=call_id, task=complete.name, root_id=call_id)
    times = {"not_before": None, "expires": None, **times}
    take_in(complete, [], kwargs, promise, **times)


@pytest.fixture
def either(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    """A producer on each database in turn."""
    return producer_to(ledger_url)


def test_calls_by_name_come_true(producer: Producer, stranger: Celery, intake: Worker) -> None:
    asked = by_name(stranger).delay()
    producer.tell(producer.answer(asked.id, {"text": "hi"}))
    assert asked.get(timeout=60)["output"] == {"text": "hi"}

    together = group(by_name(stranger, f"g{n}") for n in range(3)).apply_async()
    for result in together.results:
        producer.tell(producer.answer(result.id, {"text": result.id}))
    assert [r["output"]["text"] for r in together.get(timeout=60)] == [
        result.id for result in together.results
    ]

    following = stranger.signature(
        "tierqueue.complete", kwargs={"prompt": "next"}, queue="route", immutable=True
    )
    steps = chain(by_name(stranger, "first"), following).apply_async()
    producer.tell(producer.answer(steps.parent.id, {"text": "x"}))
    producer.tell(producer.answer(steps.id, {"text": "end"}))
    assert steps.get(timeout=60)["output"] == {"text": "end"}

    counted = chord([by_name(stranger, "h1"), by_name(stranger, "h2")], following).apply_async()
    for result in counted.parent.results:
        producer.tell_twice(producer.answer(result.id, {"text": "h"}))
    producer.tell(producer.answer(counted.id, {"text": "body"}))
    assert counted.get(timeout=60)["output"] == {"text": "body"}
    assert len(producer.all_items()) == 9


def test_bad_input_by_name_is_a_dead_letter_and_raises_at_the_producer(
    producer: Producer, stranger: Celery, intake: Worker
) -> None:
    asked = by_name(stranger, priority="urgent").delay()
    with pytest.raises(Exception, match="priority") as raised:
        asked.get(timeout=60)
    assert type(raised.value).__name__ == "InvalidItem"
    row = producer.item(asked.id)
    assert (row.state, row.reason) == ("dead", "invalid")
    assert row.arguments == {"args": [], "kwargs": {"prompt": "hello", "priority": "urgent"}}

    body = stranger.signature("tierqueue.complete", kwargs={"prompt": "b"}, queue="route")
    counted = chord([by_name(stranger, "fine"), by_name(stranger, floor="x")], body).apply_async()
    fine, _ = counted.parent.results
    producer.tell(producer.answer(fine.id, {"text": "ok"}))
    with pytest.raises(Exception, match="floor"):
        counted.get(timeout=60)


def test_a_call_by_name_says_nothing_in_events_or_logs(
    producer: Producer, stranger: Celery, intake: Worker
) -> None:
    seen: list[Any] = []
    with stranger.connection_for_read() as connection:
        receiver = stranger.events.Receiver(connection, handlers={"*": seen.append})
        consuming = receiver.itercapture(limit=None, timeout=10, wakeup=False)
        next(consuming, None)
        good, bad = (
            by_name(stranger, SECRET).delay(),
            by_name(stranger, SECRET, floor=SECRET).delay(),
        )

        wanted = {
            ("task-received", good.id),
            ("task-received", bad.id),
            ("task-failed", bad.id),
        }

        def told() -> bool:
            # Celery's own events and ours gather for a while, each by themselves.
            next(consuming, None)
            return wanted <= {(e["type"], e.get("uuid")) for e in seen}

        until(told)
    ends = [e for e in seen if e["type"] == "task-failed"]
    assert [(e["uuid"], e["exception"], e["hostname"]) for e in ends] == [
        (bad.id, "InvalidItem (never routed, $0.00)", "intake@test")
    ]
    assert "Quillfeather" not in repr(seen)
    until(lambda: bad.id.encode() in intake.log.read_bytes())
    assert good.id in intake.log.read_text()
    assert "Quillfeather" not in intake.log.read_text()


def test_undecodable_and_unknown_messages_are_kept_with_their_bytes(
    producer: Producer, stranger: Celery, intake: Worker
) -> None:
    with stranger.producer_or_acquire() as publisher:
        headers = {"task": "tierqueue.complete", "id": "garbled", "lang": "py"}
        sent = {"routing_key": "route", "content_encoding": "utf-8"}
        publisher.publish(
            b"\xff{not json", content_type="application/json", headers=headers, **sent
        )
        publisher.publish(SECRET.encode(), content_type="text/plain", headers={}, **sent)
        publisher.publish(b"\x80\x04}", content_type="application/x-python-serialize", **sent)
    broken = [b"no envelope", b"5", b'{"body": "x"}', b"\xff\xfe"]
    producer.app.backend.client.lpush("route", *broken)
    unknown = stranger.signature("tierqueue.abolished", args=[SECRET], queue="route").delay()
    with pytest.raises(Exception, match=r"tierqueue\.abolished"):
        unknown.get(timeout=60)

    def kept() -> list[Any]:
        with producer.ledger.read() as connection:
            return list(connection.execute(raw_messages.select()))

    until(lambda: len(kept()) == 8)
    bodies = {row.body for row in kept()}
    assert {b"\xff{not json", SECRET.encode(), b"\x80\x04}", *broken} < bodies
    assert any(SECRET.encode() in body and body.startswith(b"[[") for body in bodies)
    assert {row.queue for row in kept()} == {"route"}
    assert all("Quillfeather" not in json.dumps(row.headers) + row.error for row in kept())
    assert "Quillfeather" not in intake.log.read_text()
    # The intake lives on, and the queue is empty.
    asked = by_name(stranger, "still there?").delay()
    until(lambda: producer.item(asked.id))
    until(lambda: producer.app.backend.client.hlen("unacked") == 0)


def test_a_countdown_by_name_waits_in_the_ledger_and_an_expiry_is_its_deadline(
    producer: Producer, stranger: Celery, intake: Worker
) -> None:
    later = by_name(stranger, "later").apply_async(countdown=600, expires=1200)
    row = until(lambda: producer.item(later.id))
    assert (row.state, row.reason) == ("waiting", "not_before")
    assert abs(row.ready_at - row.submitted_at - 600e6) < 20e6
    assert abs(row.deadline - row.submitted_at - 1200e6) < 20e6


def test_a_revoke_cancels_what_waits_and_does_not_lie_about_what_runs(
    producer: Producer, stranger: Celery, intake: Worker
) -> None:
    waiting, running = by_name(stranger).delay(), by_name(stranger).delay()
    until(lambda: producer.item(waiting.id) and producer.item(running.id))
    with producer.ledger.write() as connection:
        connection.execute(items.update().where(items.c.id == running.id).values(state="running"))
    waiting.revoke()
    running.revoke(terminate=True)
    with pytest.raises(Exception, match="cancelled by a revoke"):
        waiting.get(timeout=60)
    assert waiting.state == "REVOKED"
    until(lambda: producer.item(running.id).cancel_requested)
    assert running.state == "PENDING"
    replies = stranger.control.revoke("not-yet-sent", reply=True, limit=1, timeout=60)
    assert "flagged as revoked" in str(replies)
    assert stranger.AsyncResult("not-yet-sent").state == "REVOKED"


def test_a_refused_call_is_refused_once_however_often_it_is_delivered(either: Producer) -> None:
    for _ in range(2):
        take(either, "call-1", {"prompt": ""})
    row = either.item("call-1")
    assert (row.state, row.reason, len(either.all_items())) == ("dead", "invalid", 1)
    assert row.error["fields"]["item"] == "call-1"
    with pytest.raises(InvalidItem):
        complete.AsyncResult("call-1").get(timeout=60)


def test_an_accepted_call_is_accepted_once_however_often_it_is_delivered(either: Producer) -> None:
    for _ in range(2):
        take(either, "call-1", {"prompt": "hello"})
    assert [row.state for row in either.all_items()] == ["submitted"]


def test_a_text_that_one_database_cannot_hold_is_refused_on_both(either: Producer) -> None:
    take(either, "call-1", {"prompt": "hello", "budget": "team\0one"})
    row = either.item("call-1")
    assert (row.state, row.reason) == ("dead", "invalid")


def test_the_id_of_an_item_that_is_there_is_refused_and_not_tried_for_ever(
    either: Producer,
) -> None:
    known = complete.new_item([], {"prompt": "a row of a job"}, item_id="row-1")
    with either.ledger.write() as connection:
        commit(connection, [known])
    with pytest.raises(InvalidItem):
        take(either, "row-1", {"prompt": "hello"})
    assert either.item("row-1").state == "submitted"


def test_a_refused_call_keeps_dates_among_its_arguments(either: Producer) -> None:
    at = datetime(2026, 11, 26, tzinfo=UTC)
    take(either, "call-1", {"prompt": "hello", "floor": at})
    row = either.item("call-1")
    assert row.reason == "invalid"
    assert "2026-11-26" in json.dumps(row.arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        {"task_id": "a\0b"},
        {"task_id": "\ud83d"},
        {"task_id": "x" * 1000},
        {"group_id": "g", "group_index": "first"},
        {"root_id": 5},
        {"kwargs": {"prompt": "x", "metadata": {"score": float("nan")}}},
    ],
)
def test_what_no_database_can_hold_is_refused_at_the_call(
    either: Producer, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidItem):
        complete.apply_async(**{"kwargs": {"prompt": "x"}, **wrong})
    assert either.all_items() == []


def test_regulated_data_by_name_is_refused_unless_the_policy_allows_it(
    producer: Producer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(producer, "stated", {"prompt": "x", "sensitivity": "regulated"})
    take(producer, "by-default", {"prompt": "x"})
    assert (producer.item("stated").reason, producer.item("by-default").state) == (
        "invalid",
        "submitted",
    )

    strict = tmp_path / "strict.toml"
    strict.write_text("")
    lax = tmp_path / "lax.toml"
    lax.write_text("allow_regulated_by_name = true\n")
    for path, state in ((strict, "dead"), (lax, "submitted")):
        monkeypatch.setenv("TIERQUEUE_POLICY", str(path))
        del producer.app.installation.settings, producer.app.installation.policy
        take(producer, f"unstated-{state}", {"prompt": "x"})
        assert producer.item(f"unstated-{state}").state == state


def test_while_the_ledger_cannot_be_asked_the_message_goes_back_after_a_wait(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_WAIT_SECONDS", 0.05)
    with producer.ledger.write() as connection:
        connection.execute(text("ALTER TABLE items RENAME TO gone"))
    with pytest.raises(Reject) as raised:
        take(producer, "call-1", {"prompt": "hello"})
    assert raised.value.requeue
    with producer.ledger.write() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO items"))
    take(producer, "call-1", {"prompt": "hello"})
    assert producer.item("call-1").state == "submitted"


def test_a_refusal_is_logged_without_its_arguments(
    producer: Producer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        take(producer, "call-1", {"prompt": SECRET, "floor": SECRET})
    said = capsys.readouterr()
    assert "call-1" in said.out + said.err + caplog.text
    assert "Quillfeather" not in said.out + said.err + caplog.text
