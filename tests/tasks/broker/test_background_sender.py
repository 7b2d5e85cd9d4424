"""The background sender: order, bounds, and what a failure costs those who put."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.waiting import PATIENCE_SECONDS, until
from tierqueue.tasks.broker.background_sender import BackgroundSender


class Receiver:
    """Takes batches, one for each permission, and raises where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failures: list[tuple[list[int], str, bool]] = []
        self.broken = False
        self._permits = threading.Semaphore(0)
        self.taken = threading.Semaphore(0)

    def send(self, items: list[int]) -> None:
        self.taken.release()
        assert self._permits.acquire(timeout=PATIENCE_SECONDS)
        if self.broken:
            raise ConnectionError("away")
        self.batches.append(items)

    def failed(self, items: list[int], error: Exception, again: bool) -> None:
        self.failures.append((items, str(error), again))

    def permit(self, batches: int) -> None:
        self._permits.release(batches)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver; at the end it lets everything through that still waits."""
    receives = Receiver()
    yield receives
    receives.permit(1000)


def sender_to(receiver: Receiver, *, waiting: int, batch: int) -> BackgroundSender[int]:
    return BackgroundSender("test", receiver.send, receiver.failed, waiting=waiting, batch=batch)


def hold_first(sender: BackgroundSender[int], receiver: Receiver) -> None:
    """Put 0 and wait until it is being sent."""
    assert sender.put([0])
    assert receiver.taken.acquire(timeout=PATIENCE_SECONDS)


def test_what_is_put_is_sent_in_order_in_batches(receiver: Receiver) -> None:
    sender = sender_to(receiver, waiting=10, batch=3)
    hold_first(sender, receiver)
    assert sender.put(range(1, 6))
    receiver.permit(3)
    until(lambda: receiver.batches == [[0], [1, 2, 3], [4, 5]])


def test_what_does_not_fit_is_not_taken(receiver: Receiver) -> None:
    sender = sender_to(receiver, waiting=2, batch=10)
    hold_first(sender, receiver)
    assert not sender.put([1, 2, 3])
    assert sender.capacity == 0
    receiver.permit(2)
    until(lambda: receiver.batches == [[0], [1, 2]])
    assert sender.capacity == 2


def test_the_oldest_is_dropped_where_the_newest_counts(receiver: Receiver) -> None:
    sender = sender_to(receiver, waiting=2, batch=10)
    hold_first(sender, receiver)
    assert not sender.put([1, 2, 3], drop_oldest=True)
    receiver.permit(2)
    until(lambda: receiver.batches == [[0], [2, 3]])


def test_calls_while_one_waits_are_one_with_it(receiver: Receiver) -> None:
    sender = sender_to(receiver, waiting=1, batch=1)
    hold_first(sender, receiver)
    for _ in range(50):
        sender.put([1])
    receiver.permit(50)
    sender.flush()
    until(lambda: receiver.batches == [[0], [1]])


def test_a_batch_that_fails_is_dropped_and_the_next_is_sent(receiver: Receiver) -> None:
    sender = sender_to(receiver, waiting=10, batch=1)
    receiver.broken = True
    sender.put([0, 1])
    receiver.permit(2)
    until(lambda: len(receiver.failures) == 2)
    receiver.broken = False
    sender.put([2])
    receiver.permit(1)
    until(lambda: receiver.batches == [[2]])
    receiver.broken = True
    sender.put([3])
    receiver.permit(1)
    until(lambda: len(receiver.failures) == 3)
    assert receiver.failures == [
        ([0], "away", False),
        ([1], "away", True),
        ([3], "away", False),
    ]


def test_nothing_starts_before_something_is_put(receiver: Receiver) -> None:
    sender = sender_to(receiver, waiting=1, batch=1)
    sender.put([])
    sender.flush()
    assert sender._thread is None


def test_a_flush_waits_until_all_is_sent_and_no_longer_than_half_a_second(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = sender_to(receiver, waiting=1, batch=1)
    hold_first(sender, receiver)
    waited: list[float | None] = []
    wait = sender._idle.wait

    def noted(seconds: float | None = None) -> bool:
        waited.append(seconds)
        return wait(seconds)

    monkeypatch.setattr(sender._idle, "wait", noted)
    sender.flush()
    assert (waited, receiver.batches) == ([0.5], [])
    receiver.permit(1)
    until(lambda: receiver.batches == [[0]])
    until(sender._idle.is_set)


AT_THE_END = f"""
import atexit, threading
from tierqueue.tasks.broker import background_sender

def send(items):
    ending.wait()
    from concurrent.futures import ThreadPoolExecutor
    print("sent", items)

def failed(items, error, again):
    print(type(error).__name__, error)

background_sender._EXIT_SECONDS = {PATIENCE_SECONDS}
ending = threading.Event()
background_sender.BackgroundSender("late", send, failed, waiting=1, batch=1).put((1,))
atexit.register(ending.set)
"""


@pytest.mark.processes
def test_what_is_sent_as_the_process_ends_may_load_what_keeps_threads() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "sent [1]\n"
