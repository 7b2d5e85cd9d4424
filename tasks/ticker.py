"""The ticker: an action repeated on a thread of its own."""

import threading
import time
from collections.abc import Callable

import structlog

from tierqueue.ledger.session import unreachable

_log = structlog.get_logger(__name__)


class Ticker:
    """Calls ``tick`` at once and then every ``seconds``, from ``start`` to ``stop``.

    A tick that returns true has more to do and is followed at once. What it raises ends nothing: it
    is logged, as ``ledger_unreachable`` where the ledger is away and else as ``tick_failed``, both
    with the ``name`` of what ticks, and the next tick tries again.
    """

    def __init__(self, name: str, tick: Callable[[], bool | None], seconds: float) -> None:
        self._name = name
        self._tick = tick
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Tick from now on; once only."""
        self._thread.start()

    def stop(self, wait: float | None = 0.0) -> None:
        """End after the tick under way, for which at most ``wait`` seconds are waited; ``None``: as
        long as it takes.
        """
        self._stopping.set()
        if wait != 0 and self._thread.is_alive():
            self._thread.join(wait)

    @property
    def stopping(self) -> bool:
        """Whether it was stopped: a long tick may ask, and end sooner."""
        return self._stopping.is_set()

    def _run(self) -> None:
        while not self.stopping:
            began = time.monotonic()
            more = self._once()
            if not more:
                self._stopping.wait(max(0.0, began + self._seconds - time.monotonic()))

    def _once(self) -> bool:
        try:
            return bool(self._tick())
        except Exception as error:  # noqa: BLE001 - whatever it was, the next tick tries again
            if unreachable(error):
                _log.warning("ledger_unreachable", of=self._name, error=type(error).__name__)
            else:
                _log.exception("tick_failed", of=self._name, error=type(error).__name__)
            return False
