"""What calls are expected to use of their bounds, by what those of their kind have used lately.

A bound takes each byte of a prompt for a token and each answer for as long as it may be. Of a call
in flight that holds a place which another could have.
"""

import math
import threading
from collections import deque
from collections.abc import Iterable, Sequence

from tierqueue.workers.limits.bounds import Spent, Want

FEWEST = 100
"""Calls of a kind before anything less than its bound is expected of the next."""

LATELY = 500
"""The last calls of a kind that count."""

PERCENT = 110
"""Of the most that they used."""

_SIZES = 4
"""Sizes that are told apart between a bound and twice as much: a longer prompt uses another part
of its bound."""

_Kind = tuple[str, str, int]


class Expected:
    """What one process has seen; safe for threads.

    Input and output are expected each for itself, of calls of one task type at one deployment whose
    bounds are alike.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unused: dict[tuple[str, str, str, int], deque[int]] = {}

    def learn_all(self, deployment: str, ended: Iterable[Spent]) -> None:
        """Calls have ended; of those that were sent, and are known, what they used is noted."""
        for one in ended:
            if one.slot.want is not None and one.used is not None and one.sent:
                whole = (one.used[0] + one.cached, one.used[1])
                self.learn(deployment, one.slot.want, whole)

    def learn(self, deployment: str, want: Want, used: tuple[int, int]) -> None:
        """A call has ended, and used so many tokens of input and output; where it used none, it was
        refused before it counted, and says nothing.
        """
        if not (want.task and used[0]):
            return
        with self._lock:
            for kind, bound, much in zip(
                _kinds(want), (want.input, want.output), used, strict=True
            ):
                seen = self._unused.setdefault((deployment, *kind), deque(maxlen=LATELY))
                seen.append(bound - much)

    def of(self, deployment: str, wanted: Sequence[Want]) -> dict[str, tuple[int, int]]:
        """The most tokens of input and output that calls are expected to use, by their ids; no more
        than their bounds, and those where too little is known of a task type.
        """
        least: dict[_Kind, int] = {}
        with self._lock:
            for kind in {kind for want in wanted for kind in _kinds(want)}:
                unused = self._unused.get((deployment, *kind), ())
                least[kind] = min(unused) if len(unused) >= FEWEST else 0
        return {
            want.id: (
                _most(want.input, least[kind_of_input]),
                _most(want.output, least[kind_of_output]),
            )
            for want in wanted
            for kind_of_input, kind_of_output in [_kinds(want)]
        }


def _kinds(want: Want) -> tuple[_Kind, _Kind]:
    """The kinds of a call's input and output."""
    return (want.task, "input", _size(want.input)), (want.task, "output", _size(want.output))


def _most(bound: int, unused: int) -> int:
    return max(0, min(bound, -(-(bound - unused) * PERCENT // 100)))


def _size(bound: int) -> int:
    return math.floor(math.log2(bound + 1) * _SIZES)
