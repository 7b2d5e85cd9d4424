"""What Flower sees of items."""

import threading
from typing import Any

import pytest
from celery import Celery
from celery.events.state import State

from tests.tasks.producer import Producer
from tests.waiting import until
from tierqueue.ledger.monitoring.endings import ItemCost
from tierqueue.ledger.results.promises import Ending, Promise
from tierqueue.router.lifecycle import State as ItemState
from tierqueue.tasks.broker.task_events import ItemEvents

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def promise(call_id: str) -> Promise:
    return Promise(id=call_id, item_id=call_id, task="tierqueue.complete", root_id="root")


def ending(
    call_id: str, state: str, reason: str | None = None, message: str = "Quillfeather"
) -> Ending:
    error = {"reason": reason, "message": message, "fields": {}} if reason else None
    receipt = {"tier": "gpu", "deployment": "house", "cost": "$0.0031", "simulated": True}
    answer = {"output": "Quillfeather", "receipt": receipt}
    return Ending(item_id=call_id, state=ItemState(state), answer=answer, error=error)


def test_every_item_shows_its_name_and_true_state_and_nothing_it_says(
    producer: Producer, stranger: Celery
) -> None:
    events = ItemEvents(producer.app, hostname="gpu@test")
    seen: list[dict[str, Any]] = []

    def see(event: dict[str, Any]) -> None:
        if event["hostname"] == "gpu@test":
            seen.append(event)

    flower = State()
    with stranger.connection_for_read() as connection:
        receiver = stranger.events.Receiver(connection, handlers={"*": see})
        consuming = receiver.itercapture(limit=None, timeout=10, wakeup=False)
        next(consuming, None)
        names = ["done", "dead", "refused", "stopped", "again", "running"]
        events.received([promise(name) for name in names])
        events.started(names)
        events.retried(["again"], "throttled")
        events.ended([(promise("done"), ending("done", "succeeded"))], runtime=0.5)
        dead = ending("dead", "dead", "cost_ceiling", "the ceiling is full")
        spent = {
            "dead": ItemCost("frontier", 12_300_000),
            "refused": ItemCost("gpu", 0, simulated=True),
        }
        events.ended([(promise("dead"), dead)], spent=spent)
        refused = ending("refused", "dead", "rejected", "its answer was Quillfeather")
        events.ended([(promise("refused"), refused)], spent=spent)
        events.ended([(promise("stopped"), ending("stopped", "cancelled", "cancelled"))])

        def all_came() -> bool:
            next(consuming, None)
            return len(seen) >= 17

        until(all_came)
    for event in seen:
        flower.event(event)
    states = {task.uuid: task.state for task in flower.tasks.values()}
    assert states == {
        "done": "SUCCESS",
        "dead": "FAILURE",
        "refused": "FAILURE",
        "stopped": "REVOKED",
        "again": "RETRY",
        "running": "STARTED",
    }
    assert {task.name for task in flower.tasks.values()} == {"tierqueue.complete"}
    assert flower.tasks["dead"].exception == (
        "CostCeilingExceeded: the ceiling is full (frontier, $0.0123)"
    )
    assert flower.tasks["refused"].exception == "Rejected (gpu, $0.00, simulated)"
    assert flower.tasks["done"].result == "gpu, house, $0.0031, simulated"
    assert flower.tasks["done"].runtime == 0.5
    assert {task.root_id for task in flower.tasks.values()} == {"root"}
    assert set(flower.workers) == {"gpu@test"}
    assert "Quillfeather" not in repr(seen)


def test_without_a_broker_events_cost_their_sender_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nowhere = Celery("nowhere", broker="redis://127.0.0.1:1/0", set_as_current=False)
    nowhere.conf.worker_send_task_events = True
    events, connecting, waited = ItemEvents(nowhere), set(), []
    connect, wait = nowhere.connection_for_write, events._sender._idle.wait

    def connection_for_write() -> Any:
        connecting.add(threading.current_thread().name)
        return connect()

    def patient(seconds: float | None = None) -> bool:
        waited.append(seconds)
        return wait(seconds)

    monkeypatch.setattr(nowhere, "connection_for_write", connection_for_write)
    monkeypatch.setattr(events._sender._idle, "wait", patient)
    for _ in range(100):
        events.started(["someone"] * 64)
    assert waited == []
    events.flush()
    assert waited == [0.5]
    until(lambda: connecting)
    assert connecting == {"events"}


def test_no_event_is_sent_where_they_are_switched_off(producer: Producer) -> None:
    quiet = Celery("quiet", broker="redis://127.0.0.1:1/0", set_as_current=False)
    quiet.conf.worker_send_task_events = False
    events = ItemEvents(quiet)
    events.started(["someone"])
    assert events._sender._thread is None
