"""The line of slices that wait in a worker until a rate has headroom again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NEAR = 1.0
"""The most seconds that are waited so."""

SHARE = 4
"""Of so many calls at once that a process has, the slices of one may wait so, or one slice."""


class Line:
    """The slices of one process that wait so, one a deployment; safe for threads.

    ``size`` says how many calls the process has at once.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._waiting: set[str] = set()

    @contextmanager
    def place(self, deployment: str) -> Iterator[Callable[[], bool]]:
        """What it yields takes the deployment's place, where it is free, and says whether it is
        taken for this slice; the place is free again at the end.
        """
        mine = False

        def take() -> bool:
            nonlocal mine
            with self._lock:
                few = len(self._waiting) < max(1, self._size() // SHARE)
                if not mine and few and deployment not in self._waiting:
                    self._waiting.add(deployment)
                    mine = True
            return mine

        try:
            yield take
        finally:
            if mine:
                with self._lock:
                    self._waiting.discard(deployment)
