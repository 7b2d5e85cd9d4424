"""The pool of calls at once: the gate of this process, and the tier's bound in the ledger.

Three bounds hold together: the gate (this process; ``-c N``, then Flower's grow and shrink), the
tier's calls in flight (all processes; ``tierqueue concurrency set``) and the deployment's. The
last two are kept by the limiter.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import structlog
from celery.concurrency.thread import TaskPool

_log = structlog.get_logger(__name__)

AHEAD = 3
"""Places given to who is urgent for one given to who is not, where both wait."""


def kept_free(places: int) -> int:
    """How many of so many places are kept free for what somebody waits for: 1 in 16."""
    return 0 if places < 8 else max(1, places // 16)


def bound_of(places: int | None, *, urgent: bool) -> int | None:
    """The most calls in flight beside which another may start; ``None``: any number."""
    return places if places is None or urgent else places - kept_free(places)


GATHER_SECONDS = 0.040
"""Seconds for which whoever got fewer places than asked for waits for more to come back."""


@dataclass(slots=True, eq=False)
class _Waiter:
    """Who waits for places at the gate: how many are wanted, and how many were given so far."""

    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    wanted: int
    given: int = 0


class Gate:
    """Lets ``size`` calls through at once, first come, first served; ``async with gate: ...``.

    Whoever is urgent comes before all others, but for one place in four, and has places that are
    kept free.

    Waited for on the worker's event loop; entered at once, left, resized and read from any thread.
    A smaller size interrupts nothing: calls in flight end by themselves before another gets in. At
    size 0 nobody gets in. Raises ``ValueError`` for a negative size.
    """

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._worth: tuple[Callable[[], int | None], ...] = ()
        self._waiting: deque[_Waiter] = deque()
        self._urgent: deque[_Waiter] = deque()
        self._ahead = 0
        self._in_flight = 0
        self._size = 0
        self.resize(size)

    @property
    def size(self) -> int:
        """The most calls that may be in flight."""
        return self._size

    @property
    def in_flight(self) -> int:
        """The calls in flight now; above ``size`` for a while after a shrink."""
        return self._in_flight

    @property
    def bound(self) -> int:
        """The most calls that may be in flight now: ``size``, or fewer where more would only wait
        inside an engine, out of reach of who comes first, or at the limiter.
        """
        said = [bound for worth in self._worth if (bound := worth()) is not None]
        return min(self._size, *said) if said else self._size

    def follow(self, *worth: Callable[[], int | None]) -> None:
        """Let no more calls through than each of ``worth`` says are worth it (``None``: as many
        as there are); asked at each entrance.
        """
        self._worth = worth

    def resize(self, n: int) -> None:
        """Let ``n`` calls through from now on."""
        if n < 0:
            raise ValueError(f"a gate cannot let {n} calls through")
        with self._lock:
            self._size = n
            self._admit()

    def enter(self, most: int, *, urgent: bool = False) -> bool:
        """Take so many places, from any thread, if all of them are free and nobody waits."""
        with self._lock:
            return self._enter(most, urgent=urgent)

    def _enter(self, most: int, *, urgent: bool) -> bool:
        line = self._urgent if urgent else self._waiting
        bound = self.bound if urgent else self._usual_bound()
        free = not self._urgent and not line and self._in_flight + most <= bound
        if free:
            self._in_flight += most
        return free

    async def acquire(self, most: int = 1, *, urgent: bool = False) -> int:
        """Wait for a place; take it and what else is free, ``most`` in all; say how many.

        A slice asks for all it holds, so that the limiter and the ledger are asked only for what
        can run at once, and waits a moment longer where only a part of it can.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._enter(most, urgent=urgent):
                return most
            line = self._urgent if urgent else self._waiting
            waiter = _Waiter(loop, loop.create_future(), most)
            line.append(waiter)
            self._admit()
        try:
            await waiter.done
        except asyncio.CancelledError:
            with self._lock:
                if waiter in line:
                    line.remove(waiter)
                # What had been given already is passed on.
                self._in_flight -= waiter.given
                self._admit()
            raise
        return waiter.given

    def release(self, n: int = 1) -> None:
        """Give ``n`` places back."""
        with self._lock:
            if not 0 <= n <= self._in_flight:
                raise ValueError(f"{n} places given back, but {self._in_flight} are taken")
            self._in_flight -= n
            self._admit()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _usual_bound(self) -> int:
        """The most calls in flight beside which another one gets in that is not urgent."""
        return self.bound - kept_free(self.bound)

    def _admit(self) -> None:
        bound, usual_bound = self.bound, self._usual_bound()
        while (line := self._next_line(bound, usual_bound)) is not None:
            # All that is free to the first: in places for one each, slices would go item by item.
            first = line[0]
            free = (bound if line is self._urgent else usual_bound) - self._in_flight
            more = min(first.wanted - first.given, free)
            self._in_flight += more
            first.given += more
            self._ahead = self._ahead + more if line is self._urgent and self._waiting else 0
            if first.given == first.wanted:
                line.popleft()
                first.loop.call_soon_threadsafe(_let_go, first.done)
            elif first.given == more:
                first.loop.call_soon_threadsafe(self._wake_soon, first, line)

    def _next_line(self, bound: int, usual_bound: int) -> deque[_Waiter] | None:
        """Whose turn it is, if anybody waits for whom there is a place."""
        if self._urgent and self._in_flight < bound:
            turn = self._waiting and self._ahead >= AHEAD and self._in_flight < usual_bound
            return self._waiting if turn else self._urgent
        return self._waiting if self._waiting and self._in_flight < usual_bound else None

    def _wake_soon(self, waiter: _Waiter, line: deque[_Waiter]) -> None:
        waiter.loop.call_later(GATHER_SECONDS, self._wake, waiter, line)

    def _wake(self, waiter: _Waiter, line: deque[_Waiter]) -> None:
        """Let a waiter go with the places it has."""
        with self._lock:
            if waiter in line:
                line.remove(waiter)
                _let_go(waiter.done)
                self._admit()


def _let_go(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


GATE = Gate(0)
"""The gate of this worker process; shut until the pool gives it its size.

A global, because Celery builds the pool itself, from a name, and hands it to
nobody: a name is all that pool and entrance share. Only entrances read it; they pass it on.
"""


class GatePool(TaskPool):  # type: ignore[misc]
    """Celery's threads pool, whose size is the gate's: ``-c N``, then Flower's grow and shrink.

    The tiers' workers take it where Celery's command line names no other. Each thread carries one
    slice; the calls of all slices share the gate. The size never falls below 1: at 0 Celery would
    leave the prefetch count behind, and to pause is for the tier's bound in the ledger. A change to
    less raises ``ValueError``, which Celery and Flower show to whoever asked, and changes nothing.
    """

    gate = GATE
    limit: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate.resize(self.limit)

    def grow(self, n: int = 1) -> None:
        """Let ``n`` more calls through."""
        self._resize(n, self.limit + n)

    def shrink(self, n: int = 1) -> None:
        """Let ``n`` fewer calls through; those in flight end by themselves."""
        self._resize(n, self.limit - n)

    def _resize(self, n: int, size: int) -> None:
        if n < 1 or size < 1:
            raise ValueError(
                f"the pool has {self.limit}; it can grow by 1 or more and shrink by at most "
                f"{self.limit - 1}, not by {n}"
            )
        self.limit = size
        # The executor starts a thread only for a slice that finds none idle; it has no public way
        # to raise the most it may start. Threads left over after a shrink wait at the gate.
        self.executor._max_workers = size  # noqa: SLF001
        self.gate.resize(size)

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "calls-in-flight": self.gate.in_flight}


GATE_POOL = f"{GatePool.__module__}:{GatePool.__qualname__}"
"""The pool as Celery takes its name."""


class TierConcurrency:
    """The tier's bound on calls in flight, as the ledger keeps it; safe for threads.

    ``read`` asks the ledger and answers ``None`` for "not bounded". It is asked at most once in
    ``EVERY`` seconds, so a change is in force within two for whoever asks that often.
    """

    EVERY = 1.0

    def __init__(
        self, read: Callable[[], int | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._bound: int | None = 0

    def last(self) -> int | None:
        """The bound that was last in force, of which the ledger is not asked; ``None``: not known.

        Never below 1: who may start nothing is to hear why from the limiter.
        """
        return None if self._asked is None or self._bound is None else max(1, self._bound)

    def now(self) -> int | None:
        """The bound in force; 0 when the ledger gave no answer: no ledger, no spending."""
        with self._lock:
            asked = self._clock()
            if self._asked is None or asked - self._asked >= self.EVERY:
                self._bound = 0
                try:
                    self._bound = self._read()
                except Exception as error:  # noqa: BLE001 - whatever it was, it is no answer
                    _log.warning("concurrency_unknown", error=type(error).__name__)
                # From before the question: what took long to answer is already old.
                self._asked = asked
            return self._bound
