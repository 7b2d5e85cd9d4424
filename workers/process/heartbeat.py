"""The heartbeat of a process: a row in the ledger that says it lives and what it has done."""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.session import Ledger
from tierqueue.tasks.ticker import Ticker

_log = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0
"""Seconds between two beats."""

_MINUTE_SECONDS = 60.0

Detail = Callable[[], Mapping[str, Any]]
"""What a process tells of itself: ``counts`` (so far), ``moments`` (epoch µs) and whatever else."""


class Heartbeat:
    """Beats from a thread of its own, from ``start`` to ``stop``.

    A thread that no longer does its work shows by what is told, not by the beat. A ledger that
    cannot be asked is asked again at the next beat.
    """

    def __init__(self, ledger: Ledger, kind: str, tier: str | None, detail: Detail) -> None:
        self.id = f"{tier or kind}@{socket.gethostname()}:{os.getpid()}"
        self._ledger = ledger
        self._kind = kind
        self._tier = tier
        self._own_detail = detail
        self._counts: deque[tuple[float, dict[str, int]]] = deque()
        self._ticker = Ticker("heartbeat", self._beat, BEAT_SECONDS)

    def start(self) -> None:
        """Beat now and every few seconds."""
        self._ticker.start()

    def stop(self) -> None:
        """End the beats and say goodbye."""
        self._ticker.stop(wait=BEAT_SECONDS)
        try:
            with self._ledger.write() as connection:
                progress.leave(connection, self.id)
        except Exception as error:  # noqa: BLE001 - a row that stays is found silent, and forgotten
            _log.warning("deregistration_failed", error=type(error).__name__)

    def _beat(self) -> None:
        detail = self._detail()
        with self._ledger.write() as connection:
            progress.beat(connection, self.id, kind=self._kind, tier=self._tier, detail=detail)

    def _detail(self) -> dict[str, Any]:
        told, now = dict(self._own_detail()), time.monotonic()
        counts = dict(told.get("counts", {}))
        self._counts.append((now, counts))
        while self._counts[0][0] < now - _MINUTE_SECONDS:
            self._counts.popleft()
        before = self._counts[0][1]
        told["last_minute"] = {
            name: so_far - before.get(name, 0) for name, so_far in counts.items()
        }
        return told
