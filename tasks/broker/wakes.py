"""Wakes: "look", said to the routing stage at most once every 10 ms, and once after the last call.

A wake carries nothing and may be lost: the routing stage's own tick finds what nobody announced.
"""

import atexit
import threading
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)

INTERVAL = 0.010
"""Seconds between two wakes of one process."""

_PAUSE_AFTER_FAILURE = 1.0
"""Seconds without a wake after the broker refused one."""

_GOODBYE = 0.5
"""The most seconds the end of the process waits for a last wake."""


class Wakes:
    """Sends wakes from a thread of its own, so that no caller waits for the broker.

    ``send`` publishes one wake; what it raises is logged once until a wake gets through again.
    """

    def __init__(self, send: Callable[[], None]) -> None:
        self._send = send
        self._wanted = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        self._broken = False

    def call(self) -> None:
        """Ask for a wake; returns at once and raises nothing."""
        self._idle.clear()
        self._wanted.set()
        if self._thread is None:
            with self._start:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="wakes", daemon=True)
                    self._thread.start()
                    atexit.register(self.flush)

    def flush(self) -> None:
        """Wait until the wakes asked for are sent, for at most half a second."""
        self._idle.wait(_GOODBYE)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self._send()
            except Exception as error:  # noqa: BLE001 - the item is committed, a wake a courtesy
                if not self._broken:
                    _log.warning("wake_not_sent", error=type(error).__name__)
                self._broken = True
            else:
                self._broken = False
            if not self._wanted.is_set():
                self._idle.set()
            pause.wait(_PAUSE_AFTER_FAILURE if self._broken else INTERVAL)
