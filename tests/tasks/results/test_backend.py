"""The result backend: what the broker holds, corrected by the ledger."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.tasks.producer import Producer
from tierqueue.tasks import complete

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

JUNK = {
    "text": b"x",
    "half a character": b"\xff",
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "a status alone": b'{"status": "SUCCESS"}',
    "a number for a status": b'{"status": 5, "result": 1, "task_id": "x"}',
    "a failure that is none": b'{"status": "FAILURE", "result": 5, "task_id": "x"}',
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_what_is_no_result_on_the_broker_is_asked_of_the_ledger(
    producer_to: Callable[[str], Producer], sqlite_url: str, valkey: Any, junk: bytes
) -> None:
    producer = producer_to(sqlite_url)
    asked = complete.delay("Say hello")
    key = producer.app.backend.get_key_for_task(asked.id)
    client = producer.app.backend.client
    client.set(key, junk)
    assert asked.state == "PENDING"
    producer.answer(asked.id, {"text": "done"})
    said = threading.Timer(0.3, client.publish, (key, junk))
    said.start()
    assert asked.get(timeout=10)["output"] == {"text": "done"}
    said.join()
