"""Wakes: "look", said to the routing stage at most once every 10 ms, and once after the last call.

A wake carries nothing and may be lost: the routing stage's own tick finds what nobody announced.
"""

from collections.abc import Callable

import structlog

from tierqueue.tasks.broker.background_sender import BackgroundSender

_log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 0.010
"""Seconds between two wakes of one process."""

_PAUSE_AFTER_FAILURE_SECONDS = 1.0
"""Seconds without a wake after the broker refused one."""


class Wakes:
    """Sends wakes in the background: calls while one waits to be sent are one with it.

    ``send`` publishes one wake; what it raises is logged once until a wake gets through again.
    """

    def __init__(self, send: Callable[[], None]) -> None:
        self._sender = BackgroundSender[None](
            "wakes",
            lambda _: send(),
            _not_sent,
            waiting=1,
            batch=1,
            gather=INTERVAL_SECONDS,
            pause=_PAUSE_AFTER_FAILURE_SECONDS,
        )
        self.flush = self._sender.flush

    def call(self) -> None:
        """Ask for a wake; returns at once and raises nothing."""
        self._sender.put((None,))


def _not_sent(_: list[None], error: Exception, again: bool) -> None:
    if not again:
        _log.warning("wake_not_sent", error=type(error).__name__)
