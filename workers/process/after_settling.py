"""After a commit of a worker: producers hear of what ended, the routing stage of what goes on."""

import math
from collections.abc import Callable

from tierqueue.ledger.results.promises import Ends


class AfterSettling:
    """``delivery`` tells producers; ``wake`` has the routing stage look, which what has ended is
    no reason for: a wake and the round it causes cost more than a call does.
    """

    def __init__(self, delivery: Callable[[Ends], None], wake: Callable[[], None]) -> None:
        self._delivery = delivery
        self._wake = wake
        self._attempts = math.inf

    def settles(self, attempts: int) -> None:
        """So many attempts are in what is committed next: it may be in parts."""
        self._attempts = attempts

    def told(self, ends: Ends) -> None:
        """After a commit: where it was of more than these ends, some item goes on."""
        self._delivery(ends)
        if len(ends.ended) < self._attempts:
            self._wake()
