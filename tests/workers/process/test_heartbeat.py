"""The heartbeat: a process that lives says so, and one that ends says goodbye."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.waiting import until
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.monitoring.progress import Process
from tierqueue.ledger.session import Ledger
from tierqueue.workers.process import heartbeat
from tierqueue.workers.process.heartbeat import Heartbeat


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)


def _processes(ledger: Ledger) -> list[Process]:
    with ledger.read() as connection:
        return progress.snapshot(connection).processes


def _beating(ledger: Ledger, detail: Callable[[], dict[str, Any]]) -> Heartbeat:
    beat = Heartbeat(ledger, "worker", "gpu", detail)
    beat.start()
    until(lambda: _processes(ledger))
    return beat


def test_a_process_beats_with_what_it_has_done_and_says_goodbye(ledger: Ledger) -> None:
    resent = [3]
    beat = _beating(ledger, lambda: {"counts": {"resent": resent[0]}, "draining": False})
    [each] = _processes(ledger)
    assert (each.id, each.tier, each.counts) == (beat.id, "gpu", {"resent": 3})
    assert (each.last_minute, each.detail) == ({"resent": 0}, {"draining": False})
    resent[0] = 10
    until(lambda: _processes(ledger)[0].last_minute == {"resent": 7})
    beat.stop()
    assert _processes(ledger) == []


def test_what_a_process_counts_only_later_is_of_the_last_minute_too(ledger: Ledger) -> None:
    counts: dict[str, int] = {}
    beat = _beating(ledger, lambda: {"counts": dict(counts)})
    counts["ended"] = 5
    until(lambda: _processes(ledger)[0].last_minute == {"ended": 5})
    beat.stop()


def test_a_beat_that_fails_is_followed_by_the_next(ledger: Ledger) -> None:
    broken = threading.Event()

    def detail() -> dict[str, Any]:
        if not broken.is_set():
            broken.set()
            raise RuntimeError("not ready")
        return {}

    beat = _beating(ledger, detail)
    assert broken.is_set()
    beat.stop()


def test_a_process_whose_goodbye_fails_ends_all_the_same(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = _beating(ledger, dict)

    def down(*_: Any) -> None:
        raise ConnectionError("no ledger")

    with monkeypatch.context() as broken:
        broken.setattr(progress, "leave", down)
        beat.stop()
    assert [process.id for process in _processes(ledger)] == [beat.id]
