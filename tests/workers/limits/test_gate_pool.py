"""The gate's pool in a real Celery worker process: Flower's grow and shrink."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.waiting import until


class Worker:
    """A real Celery worker process on a gate of 2, and what it reports."""

    def __init__(self, url: str, app: Celery) -> None:
        self.app = app
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.name = "gate@test"

    def stats(self) -> dict[str, Any]:
        return dict(self.app.control.inspect([self.name], timeout=60).stats()[self.name])

    def size(self) -> int:
        return int(self.stats()["pool"]["max-concurrency"])

    def entered(self) -> list[int]:
        return [int(n) for n in self.redis.lrange("entered", 0, -1)]

    def tell(self, command: str, n: int) -> dict[str, str]:
        control = getattr(self.app.control, command)
        answers = control(n, destination=[self.name], reply=True, timeout=60)
        return dict(answers[0][self.name])


@pytest.fixture(scope="module")
def worker(valkey_socket: str) -> Iterator[Worker]:
    broker = valkey_socket.replace("unix://", "redis+socket://") + "?virtual_host=7"
    url = f"{valkey_socket}?db=7"
    command = "celery -A gate_app worker -c 2 -n gate@test -l WARNING --without-mingle"
    process = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        cwd=Path(__file__).parent,
        env={
            **os.environ,
            "GATE_BROKER": broker,
            "GATE_REDIS": url,
        },
    )
    with Celery("test", broker=broker) as app:
        worker = Worker(url, app)
        try:
            until(lambda: bool(app.control.ping([worker.name], timeout=0.5)))
            yield worker
        finally:
            worker.redis.rpush("door", *["x"] * 200)
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            worker.redis.flushdb()
            worker.redis.close()


def test_grow_and_shrink_change_the_reported_size_and_the_calls_that_run(worker: Worker) -> None:
    assert worker.size() == 2
    for _ in range(12):
        worker.app.send_task("gate_app.slice", [4])
    until(lambda: len(worker.entered()) >= 2)
    assert worker.stats()["pool"]["calls-in-flight"] == 2
    assert sorted(worker.entered()) == [1, 2]

    assert "ok" in worker.tell("pool_grow", 4)
    until(lambda: len(worker.entered()) >= 6)
    grown = worker.stats()
    assert grown["pool"]["max-concurrency"] == grown["pool"]["calls-in-flight"] == 6
    assert grown["prefetch_count"] == 6
    assert sorted(worker.entered()) == [1, 2, 3, 4, 5, 6]

    assert "ok" in worker.tell("pool_shrink", 5)
    worker.redis.rpush("door", *"xxxxx")
    until(lambda: worker.redis.llen("door") == 0)
    shrunk = worker.stats()
    assert shrunk["pool"]["max-concurrency"] == shrunk["prefetch_count"] == 1
    assert len(worker.entered()) == 6  # five have left and nobody came after them
    worker.redis.rpush("door", *"xxx")
    until(lambda: len(worker.entered()) >= 9)
    assert worker.stats()["pool"]["calls-in-flight"] == 1
    assert worker.entered()[6:] == [1, 1, 1]


def test_the_pool_refuses_a_size_below_one_and_says_why(worker: Worker) -> None:
    before = worker.stats()
    size = before["pool"]["max-concurrency"]
    answer = worker.tell("pool_shrink", size)
    assert f"shrink by at most {size - 1}" in answer["error"]
    assert "error" in worker.tell("pool_grow", -1)
    after = worker.stats()
    assert after["pool"]["max-concurrency"] == size
    assert after["prefetch_count"] == before["prefetch_count"]
