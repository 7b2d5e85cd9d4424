"""The background sender: a thread that sends, so that no caller waits or sees it fail."""

import atexit
import importlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")

_EXIT_SECONDS = 0.5
"""The most that the end of the process waits for what was put before."""


class BackgroundSender(Generic[Item]):
    """Hands what is put to ``send``, in order and at most ``batch`` at once.

    At most ``waiting`` items wait. ``gather`` seconds pass after each batch, and ``pause`` seconds
    after one that ``send`` raised for: it is dropped, and ``failed`` is told of it, of the error,
    and whether the batch before failed too. The thread starts with the first item.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[list[Item]], None],
        failed: Callable[[list[Item], Exception, bool], None],
        *,
        waiting: int,
        batch: int,
        gather: float = 0.0,
        pause: float = 0.0,
    ) -> None:
        self._name = name
        self._send = send
        self._failed = failed
        self._most = waiting
        self._batch = batch
        self._gather = gather
        self._pause = pause
        self._waiting: deque[Item] = deque()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None

    @property
    def capacity(self) -> int:
        """How many items more may wait."""
        return self._most - len(self._waiting)

    def put(self, items: Iterable[Item], *, drop_oldest: bool = False) -> bool:
        """Send these soon; returns at once, and whether they fit.

        Where they do not, an item is not taken, or with ``drop_oldest`` the oldest is let go.
        """
        took_all = True
        with self._lock:
            for item in items:
                if self.capacity <= 0:
                    took_all = False
                    if not drop_oldest:
                        break
                    self._waiting.popleft()
                self._waiting.append(item)
            if self._waiting:
                self._idle.clear()
                self._wanted.set()
                if self._thread is None:
                    # Python loads no pool of threads once the process ends, and a broker's
                    # client that is first asked for then has one.
                    importlib.import_module("concurrent.futures.thread")
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
                    atexit.register(self.flush)
        return took_all

    def flush(self) -> None:
        """Wait until what was put is sent, for at most half a second."""
        self._idle.wait(_EXIT_SECONDS)

    def _run(self) -> None:
        resting, broken = threading.Event(), False
        while True:
            self._wanted.wait()
            with self._lock:
                count = min(self._batch, len(self._waiting))
                items = [self._waiting.popleft() for _ in range(count)]
            try:
                self._send(items)
            except Exception as error:  # noqa: BLE001 - what is sent here is a courtesy to somebody
                self._failed(items, error, broken)
                broken = True
            else:
                broken = False
            with self._lock:
                if not self._waiting:
                    self._wanted.clear()
                    self._idle.set()
            resting.wait(self._pause if broken else self._gather)
