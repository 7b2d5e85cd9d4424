"""The breaker of one deployment in one worker process: stop calling what does not answer.

Closed: calls go through. Open after ``FAILURES`` consecutive transient failures or lost replies
within ``WINDOW`` seconds: nothing goes through for ``OPEN_FOR`` seconds. Half-open then: one call
goes through as a trial, and its outcome closes or opens the breaker again. A refused item waits in
the ledger; no breaker is ever passed by, also when those of all deployments are open.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import assert_never

from tierqueue.router.outcome import (
    Accepted,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Rejected,
    Reply,
    Throttled,
    Unavailable,
    Unknown,
)

FAILURES = 5
WINDOW = 30.0
OPEN_FOR = 15.0


def alive(outcome: Reply | Outcome) -> bool | None:
    """Whether ``outcome`` shows the deployment answering; ``None`` when it shows neither.

    A throttled, rejected or permanently refused call was answered. An interrupted one was ended by
    ourselves.
    """
    match outcome:
        case Completed() | Accepted() | Rejected() | Throttled():
            return True
        case Failed(transient=transient):
            return not transient
        case Unknown() | Unavailable():
            return False
        case Interrupted():
            return None
        case _:
            assert_never(outcome)


class Breaker:
    """Safe for threads. ``clock`` answers in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: deque[float] = deque(maxlen=FAILURES)
        self._opened: float | None = None
        self._trial: float | None = None

    def allows(self) -> bool:
        """Whether a call may be made now; ask once for each call, right before it is claimed.

        When half-open, true is given to one caller: the trial. A trial nobody records is given
        up after ``OPEN_FOR`` seconds, so that a call that was never made blocks nothing for good.
        """
        with self._lock:
            if self._opened is None:
                return True
            if self._wait() > 0:
                return False
            self._trial = self._clock()
            return True

    @property
    def closed(self) -> bool:
        """Whether calls go through as usual: neither open nor on trial."""
        with self._lock:
            return self._opened is None

    def record(self, outcome: Reply | Outcome) -> None:
        """Take note of how a call ended. Any answer closes the breaker, whichever call it ends."""
        answered = alive(outcome)
        with self._lock:
            if answered:
                self._failures.clear()
                self._opened = self._trial = None
            elif answered is None:
                self._trial = None
            elif self._opened is None:
                now = self._clock()
                self._failures.append(now)
                if len(self._failures) == FAILURES and now - self._failures[0] <= WINDOW:
                    self._opened = now
            elif self._trial is not None:
                self._opened, self._trial = self._clock(), None

    def retry_after(self) -> float:
        """Seconds until ``allows`` may say yes; 0 when it may now."""
        with self._lock:
            return self._wait()

    def _wait(self) -> float:
        if self._opened is None:
            return 0.0
        since = self._opened if self._trial is None else self._trial
        return max(0.0, since + OPEN_FOR - self._clock())
