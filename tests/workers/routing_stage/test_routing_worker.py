"""The routing stage's process: what it had read of the broker when it was killed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fork_server import ForkServer
from tests.tasks.producer import Producer, Worker
from tests.waiting import until
from tierqueue.tasks.broker import names
from tierqueue.workers.routing_stage.worker import TAKING_IN_SECONDS

pytestmark = [
    pytest.mark.processes,
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Start = Callable[[], Worker]


@pytest.fixture
def start(
    forks: ForkServer, valkey: Any, producer: Producer, sqlite_url: str, tmp_path: Path
) -> Any:
    """Starts the routing stage on the producer's ledger."""
    started: list[Worker] = []

    def begin() -> Worker:
        log = tmp_path / f"routing-{len(started)}.log"
        environment = {
            "TIERQUEUE_LEDGER_URL": sqlite_url,
            "TIERQUEUE_BROKER_URL": valkey.url,
            "TIERQUEUE_POLICY": str(tmp_path / "tierqueue.toml"),
        }
        module = "tierqueue.workers.routing"
        started.append(Worker(forks, "routing", module, "route", log, environment))
        return started[-1]

    yield begin
    for worker in started:
        worker.stop()


def test_a_call_by_name_whose_routing_stage_was_killed_is_taken_in_after_a_minute(
    start: Start, producer: Producer, stranger: Any
) -> None:
    client = producer.app.backend.client
    killed = start()
    with producer.ledger.write():  # nobody else writes meanwhile: it cannot commit the item
        asked = stranger.signature("tierqueue.complete", args=["Say hello"], queue="route").delay()
        until(lambda: client.zcard(names.UNACKED_INDEX))
        killed.process.kill()
        killed.process.wait()
    assert producer.item(asked.id) is None
    for tag, read_at in client.zrange(names.UNACKED_INDEX, 0, -1, withscores=True):
        client.zadd(names.UNACKED_INDEX, {tag: read_at - TAKING_IN_SECONDS})
    start()
    until(lambda: producer.item(asked.id))
    until(lambda: not client.zcard(names.UNACKED_INDEX))
