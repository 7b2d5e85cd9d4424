"""A routing stage's thread submits scheduled jobs, and stops when it is told to."""

import threading
from collections.abc import Callable

import pytest

from tests.tasks.producer import Producer
from tierqueue.ledger.session import Ledger
from tierqueue.tasks.schedules import jobs
from tierqueue.workers.maintenance import scheduled_jobs
from tierqueue.workers.maintenance.scheduled_jobs import ScheduledJobs


def test_what_fails_is_tried_again_until_it_is_to_stop(
    producer_to: Callable[[str], Producer], ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = threading.Semaphore(0)

    def fail(ledger: Ledger, wake: Callable[[], None]) -> bool:
        looks.release()
        raise RuntimeError("out of order")

    monkeypatch.setattr(scheduled_jobs, "_LOOK", 0.01)
    monkeypatch.setattr(jobs, "submit_one", fail)
    stopping = threading.Event()
    run = ScheduledJobs(producer_to(ledger_url).app).run
    thread = threading.Thread(target=run, args=(stopping,), daemon=True)
    thread.start()
    assert all(looks.acquire(timeout=30) for _ in range(3))
    stopping.set()
    thread.join(30)
    assert not thread.is_alive()
