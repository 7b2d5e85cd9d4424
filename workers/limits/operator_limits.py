"""Limits that operators set while it runs, read from the ledger and put over the policy's."""

import threading
import time
from collections.abc import Callable

from tierqueue.router.errors import SpendingRefused
from tierqueue.workers.limits.rates import OperatorLimits


class StatedLimits:
    """What is set in place of the policy's limits; safe for threads.

    ``read`` asks the ledger, at most once in ``EVERY`` seconds, so a change is in force within two
    for whoever asks that often.
    """

    EVERY = 1.0

    def __init__(
        self, read: Callable[[], OperatorLimits], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._chosen = OperatorLimits()

    def now(self) -> OperatorLimits:
        """The limits that are set; raises ``SpendingRefused`` without an answer."""
        with self._lock:
            asked = self._clock()
            if self._asked is None or asked - self._asked >= self.EVERY:
                try:
                    self._chosen = self._read()
                except Exception as error:
                    raise SpendingRefused(
                        f"the ledger did not say which limits are set ({type(error).__name__})"
                    ) from error
                # From before the question: what took long to answer is already old.
                self._asked = asked
            return self._chosen
