"""Whatever lies on a queue is done, refused to its sender, or kept; nothing ends the process.

Junk is made field by field of Celery's message protocols, laid on a real broker, and read by a
real routing stage's intake in a process of its own; good calls behind it come through.
"""

import base64
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.fork_server import ForkServer
from tests.tasks.consumer.junk import DEEP, HALF_AN_EMOJI, NUL, SECRET, call, entry, spoilt
from tests.tasks.producer import Producer, Worker
from tests.waiting import until
from tierqueue.ledger.tables import raw_messages
from tierqueue.router.errors import InvalidItem

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    # Celery leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def either_producer(producer_to: Callable[[str], Producer], ledger_url: str) -> Producer:
    """A producer on each database in turn."""
    return producer_to(ledger_url)


@pytest.fixture
def reading(
    forks: ForkServer, valkey: Any, either_producer: Producer, ledger_url: str, tmp_path: Path
) -> Iterator[Worker]:
    """The routing stage's intake as a real process on either ledger."""
    worker = Worker(
        forks,
        "reading",
        "tests.tasks.intake_app",
        "route",
        tmp_path / "reading.log",
        {"TIERQUEUE_LEDGER_URL": ledger_url, "TIERQUEUE_BROKER_URL": valkey.url},
    )
    yield worker
    worker.stop()


class Queue:
    """What lies on the broker, and whoever reads it."""

    def __init__(self, producer: Producer, worker: Worker) -> None:
        self.producer = producer
        self.worker = worker
        self.client = producer.app.backend.client

    def read(self, *entries: bytes) -> None:
        """Lay entries on the queue; returns when none of them is left, read or unread."""
        self.client.lpush("route", *entries)
        until(lambda: self._alive() and not self.left())

    def good(self, count: int = 10) -> None:
        """Good calls come through."""
        calls = [call() for _ in range(count)]
        self.read(*map(entry, calls))
        # Between the queue and what is acted on an entry lies nowhere for a moment.
        rows = [until(partial(self.producer.item, message["headers"]["id"])) for message in calls]
        assert [row.state for row in rows] == ["submitted"] * count

    def kept(self) -> int:
        """How many messages are kept with their bytes."""
        with self.producer.ledger.read() as connection:
            counted = connection.execute(select(func.count()).select_from(raw_messages))
            return int(counted.scalar_one())

    def _alive(self) -> bool:
        assert self.worker.process.poll() is None, self.worker.log.read_text()[-4000:]
        return True

    def left(self) -> int:
        """How many entries lie on the queue, or are being acted on."""
        return int(self.client.llen("route")) + int(self.client.hlen("unacked"))


@pytest.fixture
def queue(either_producer: Producer, reading: Worker) -> Queue:
    """The queue of the routing stage, read by a real process."""
    return Queue(either_producer, reading)


def test_no_field_of_a_message_ends_the_process_or_is_left_unacknowledged(queue: Queue) -> None:
    @settings(
        max_examples=60,
        # What is left on the queue after one failure would fail whatever is tried after it.
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(
        st.lists(
            spoilt("route", "tierqueue.complete") | spoilt("route", "tierqueue.wake"),
            min_size=10,
            max_size=20,
        )
    )
    def junk(entries: list[bytes]) -> None:
        queue.read(*entries)

    junk()
    queue.good()
    told = queue.worker.log.read_text()
    assert SECRET not in told, told[max(0, told.index(SECRET) - 1500) : told.index(SECRET) + 300]
    assert queue.kept() > 0


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "arguments that are a text": lambda m: m["body"].__setitem__(0, SECRET),
    "keywords that are a list": lambda m: m["body"].__setitem__(1, [SECRET]),
    "a body of three names": lambda m: m.update(body={"x": 1, "y": 2, "z": SECRET}),
    "a body of two parts": lambda m: m["body"].pop(),
    "NaN among the keywords": lambda m: m["body"].__setitem__(1, {"prompt": float("nan")}),
    "NaN for a priority": lambda m: m["body"][1].update(priority=float("nan")),
    "a number beyond every float": lambda m: m["body"][1].update(max_cost=float("inf")),
    "a group index that is text": lambda m: m["headers"].update(group="g", group_index="first"),
    "half an emoji for a group": lambda m: m["headers"].update(group=HALF_AN_EMOJI),
    "a NUL in a group": lambda m: m["headers"].update(group=NUL),
    "a NUL in its root": lambda m: m["headers"].update(root_id=NUL),
    "a time that is none": lambda m: m["headers"].update(eta="2026-02-30"),
    "a chord that is a number": lambda m: m["body"][2].update(chord=5),
    "links that are a text": lambda m: m["body"][2].update(callbacks=SECRET),
    "time limits of one part": lambda m: m["headers"].update(timelimit=[1]),
    "stamps that are a list": lambda m: m["headers"].update(stamps=[SECRET]),
    "a NUL in its budget": lambda m: m["body"][1].update(budget=NUL),
    "a deadline beyond the calendar": lambda m: m["body"][1].update(deadline=1e300),
}


def test_the_sender_of_a_readable_id_is_told_what_was_wrong(queue: Queue) -> None:
    wrong: dict[str, str] = {}
    for name, spoil in WRONG.items():
        message = call()
        spoil(message)
        wrong[name] = message["headers"]["id"]
        queue.client.lpush("route", entry(message))
    until(lambda: not queue.left())
    for name, call_id in wrong.items():
        row = until(partial(queue.producer.item, call_id))
        assert (row.state, row.reason) == ("dead", "invalid"), name
        assert SECRET not in json.dumps(row.error), name
        with pytest.raises(InvalidItem):
            queue.producer.app.AsyncResult(call_id).get(timeout=60)
    queue.good()
    told = queue.worker.log.read_text()
    assert SECRET not in told, told[max(0, told.index(SECRET) - 1500) : told.index(SECRET) + 300]


no_database = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
"""What is said in the log is the same on either."""


@no_database
def test_an_id_that_is_a_sentence_is_refused_and_in_no_line_of_the_log(queue: Queue) -> None:
    for task in ("tierqueue.complete", "tierqueue.wake", "tierqueue.slice"):
        message = call(task=task)
        message["headers"]["id"] = SECRET
        queue.read(entry(message))
    queue.good()
    until(lambda: queue.kept() >= 3)
    assert queue.kept() == 3
    assert SECRET not in queue.worker.log.read_text()


@no_database
def test_what_a_sender_calls_its_call_is_in_no_line_of_the_log(queue: Queue) -> None:
    asked, wake = call(), call(task="tierqueue.wake")
    work = call(task="tierqueue.slice", deployment="small", items=[["an-item", 1, 10]])
    for message in (asked, wake, work):
        message["headers"]["shadow"] = SECRET
        queue.read(entry(message))
    until(lambda: queue.producer.item(asked["headers"]["id"]))
    ended = f"tierqueue.slice[{work['headers']['id']}] succeeded in"
    until(lambda: ended in queue.worker.log.read_text())
    assert SECRET not in queue.worker.log.read_text()


UNREADABLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an id that is a list": lambda m: m["headers"].update(id=["x"]),
    "half an emoji for an id": lambda m: m["headers"].update(id=HALF_AN_EMOJI),
    "a NUL in an id": lambda m: m["headers"].update(id=NUL),
    "an endless id": lambda m: m["headers"].update(id="x" * 100_000),
    "no id": lambda m: m["headers"].pop("id"),
    "a task that is a list": lambda m: m["headers"].update(task=["x"]),
    "bytes": lambda m: m.update({"content-type": "application/octet-stream"}),
    "a pickle": lambda m: m.update({"content-type": "application/x-python-serialize"}),
    "headers that are a list": lambda m: m.update(headers=["x"]),
    "no delivery tag": lambda m: m["properties"].pop("delivery_tag"),
    "a delivery tag that is a list": lambda m: m["properties"].update(delivery_tag=["x"]),
    "no address": lambda m: m["properties"].pop("delivery_info"),
    "an address that is a number": lambda m: m["properties"].update(delivery_info=5),
    "a body that is not as encoded": lambda m: m.update(body="%%%"),
    "an unknown encoding": lambda m: m["properties"].update(body_encoding="rot13"),
    "an unknown compression": lambda m: m["headers"].update(compression="rot13"),
    "a compression that is a list": lambda m: m["headers"].update(compression=["x"]),
    "a header too deep": lambda m: m["headers"].update(stamps={"x": DEEP}),
}


def test_what_has_no_readable_sender_is_kept_with_its_bytes(queue: Queue) -> None:
    entries = []
    for spoil in UNREADABLE.values():
        message = call()
        spoil(message)
        entries.append(entry(message))
    deep = b"[" * 200_000 + b"]" * 200_000
    body = base64.b64encode(deep).decode()
    queue.read(*entries, deep, b"5", b"", b"\xff", entry({**call(), "body": body}))
    # A header that is deep is well-formed all the same: that one call is done.
    until(lambda: queue.kept() >= len(entries) - 1 + 5)
    assert queue.kept() == len(entries) - 1 + 5
    queue.good()
