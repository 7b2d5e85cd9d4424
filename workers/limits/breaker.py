"""The breaker of a worker process: who may be called now, by what all workers know together.

The conditions stand in the ledger (``router.condition`` says how they change); this process asks
for them again every ``EVERY_SECONDS``. A call that just ended badly here stops its deployment at
once, until what it means is settled. A refused item waits in the ledger.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from tierqueue.router.condition import Condition
from tierqueue.router.errors import SpendingRefused
from tierqueue.router.outcome import LOST_ON_THE_WAY, Outcome, Throttled, Unavailable, Unknown
from tierqueue.router.policy.duration import SECOND_US, microseconds

EVERY_SECONDS = 0.5
"""Seconds between two questions to the ledger."""

AT_ONCE = 0.02
"""The same where the answer would be no."""

SETTLING = 2.0
"""The most seconds a deployment is stopped for a call that ended badly and is not settled yet."""

BRIEF_SECONDS = 0.2
"""Seconds after which an item that waits for that is looked at again."""

LONGEST = 5.0
"""The most seconds a refused item waits before the routing stage has it again."""

Known = tuple[int, Mapping[str, Condition]]
"""The ledger's clock, in epoch microseconds, and every condition by deployment."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """Why not everybody may call a deployment; ``wait`` in seconds, ``probe`` is who may."""

    code: str
    wait: float
    probe: str | None = None


class Breaker:
    """Safe for threads. ``read`` asks the ledger; ``clock`` answers in seconds, never goes back."""

    def __init__(
        self, read: Callable[[], Known], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._ahead = 0.0
        self._known: dict[str, Condition] = {}
        # With a lock of its own: a call's end must not wait for a ledger that takes its time.
        self._stopping = threading.Lock()
        self._stopped: dict[str, tuple[str, float]] = {}

    def held(self, deployment: str, wanted: Collection[str]) -> Restriction | None:
        """Why of the ``wanted`` items not all may call ``deployment`` now; ``None``: all may.

        Raises ``SpendingRefused`` when the ledger gives no answer.
        """
        with self._lock:
            now = self._refreshed()
            with self._stopping:
                code, until = self._stopped.get(deployment, ("", 0.0))
            if self._clock() < until:
                return Restriction(code, BRIEF_SECONDS)
            condition = self._known.get(deployment)
            if condition is not None and not condition.free(now):
                # Before anybody is refused: was an item put on trial, or is it over?
                now = self._refreshed(within=AT_ONCE)
                condition = self._known.get(deployment)
            if condition is None or condition.free(now):
                return None
            probe = condition.probe
            if probe is not None and probe in wanted and condition.may_call(probe, now):
                return Restriction(str(condition.code), 0.0, probe)
            return Restriction(
                str(condition.code), min(max(condition.wait(now), EVERY_SECONDS), LONGEST)
            )

    def ended(self, deployment: str, outcome: Outcome) -> None:
        """A call ended like this here: where it speaks ill of the deployment, stop at once."""
        code = _speaks_ill(outcome)
        if code is not None:
            with self._stopping:
                self._stopped[deployment] = code, self._clock() + SETTLING

    def settled(self, deployments: Iterable[str], conditions: Iterable[Condition]) -> None:
        """Calls of these deployments are settled, and these conditions were written meanwhile."""
        with self._stopping:
            for name in deployments:
                self._stopped.pop(name, None)
        with self._lock:
            self._known.update((condition.deployment, condition) for condition in conditions)

    def clear(self, deployment: str) -> bool:
        """Whether nothing was known against the deployment when the ledger was last asked."""
        condition = self._known.get(deployment)
        return condition is None or condition.code is None

    def open(self) -> list[str]:
        """The deployments that not everybody may call, by name."""
        with self._lock:
            return sorted(name for name, condition in self._known.items() if condition.held)

    def _refreshed(self, within: float = EVERY_SECONDS) -> int:
        """The ledger's clock now; asks the ledger where that was not ``within`` so many seconds."""
        now = self._clock()
        if self._asked is None or now - self._asked >= within:
            try:
                at, known = self._read()
            except Exception as error:
                raise SpendingRefused(
                    f"the ledger did not say which deployments serve ({type(error).__name__})"
                ) from error
            self._known = dict(known)
            self._ahead = at / SECOND_US - self._clock()
            # From before the question: what took long to answer is already old.
            self._asked = now
        return microseconds(self._ahead + self._clock())


def _speaks_ill(outcome: Outcome) -> str | None:
    """What an end says against its deployment; a time limit may be the item's own fault."""
    match outcome:
        case Throttled():
            return "throttled"
        case Unavailable(kind=code):
            return code
        case Unknown(kind=kind) if kind in LOST_ON_THE_WAY:
            return "reply_lost"
    return None
