"""An engine's time, shared out: each call in flight gets an equal part of each instant."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf

Clock = Callable[[], float]
"""Seconds that only grow, such as ``time.monotonic``."""


_TICK_SECONDS = 0.01
"""Seconds between two checks of a call that has had almost all it is allowed."""


class OutOfEngineTime(TimeoutError):
    """A call has had all of the engine's time that is held for it."""


class EngineTime:
    """Shares an engine's busy seconds among its calls, so that the shares add up to the whole.

    ``clock`` returns seconds. With n calls in flight each is charged 1/n of the time that passes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_flight = 0
        self._share = 0.0
        self._at = 0.0
        self._cut: dict[tuple[str, int], float] = {}

    @property
    def idle(self) -> bool:
        """Whether no call is in flight."""
        return not self._in_flight

    def enter(self) -> float:
        """A call begins; returns the mark that ``leave`` and ``cut`` take."""
        self._advance()
        self._in_flight += 1
        return self._share

    @asynccontextmanager
    async def within(self, mark: float, seconds: float) -> AsyncIterator[None]:
        """End what is done in here once its call has had so many ``seconds`` of the engine; raises
        ``OutOfEngineTime``.
        """
        if seconds == inf:
            yield
            return
        loop, ticks = asyncio.get_running_loop(), list[asyncio.TimerHandle]()

        def tick() -> None:
            self._advance()
            left = seconds - (self._share - mark)
            if left <= 0:
                limit.reschedule(loop.time())
            else:
                ticks[:] = [loop.call_later(max(left, _TICK_SECONDS), tick)]

        try:
            async with asyncio.timeout(None) as limit:
                ticks.append(loop.call_later(seconds, tick))
                try:
                    yield
                finally:
                    ticks[0].cancel()
        except TimeoutError:
            if not limit.expired():
                raise
            raise OutOfEngineTime from None

    def leave(self, mark: float) -> float:
        """The call ends; returns its seconds."""
        self._advance()
        self._in_flight -= 1
        return self._share - mark

    def cut(self, item: str, fence: int, mark: float) -> None:
        """The call was cancelled; keeps its seconds for whoever books it."""
        self._advance()
        self._cut[item, fence] = self._share - mark

    def was_cut(self, item: str, fence: int) -> float:
        """The seconds of a cancelled call, once; 0 for any other."""
        return self._cut.pop((item, fence), 0.0)

    def _advance(self) -> None:
        now = self._clock()
        if self._in_flight:
            self._share += (now - self._at) / self._in_flight
        self._at = now
