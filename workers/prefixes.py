"""The first call of a prefix goes alone, so that the others meet its cache.

A provider keeps a prefix once it has begun to answer the first call that brings it: calls that
leave beside that one pay for all of their input. So they wait, in this process, until it has ended.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

CACHED_SECONDS = 240.0
"""Seconds after its last call for which a prefix counts as cached: a cache of five minutes has it
still when what is sent now arrives."""

MOST = 10_000
"""Most prefixes that are remembered."""


def _nothing() -> None:
    """What is to be called of a call without a prefix."""


class Prefixes:
    """What the provider of each deployment has cached of what this process sent it.

    Used on the one event loop alone; ``clock`` says monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cached: dict[str, float] = {}
        self._first: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def in_turn(self, key: str | None, most: float) -> AsyncIterator[Callable[[], None]]:
        """The time of a call that brings the prefix ``key``; ``None`` is no prefix that is cached.

        Where nobody has brought it lately this call is the first, and others wait at its beginning
        until it has ended, ``most`` seconds at the longest. What it gives is to be called where the
        call was answered.
        """
        if key is None:
            yield _nothing
            return
        if self._cached.get(key, 0.0) <= self._clock():
            ended = self._first.get(key)
            if ended is None:
                async with self._alone(key):
                    yield partial(self._remember, key)
                return
            try:
                async with asyncio.timeout(most):
                    await ended.wait()
            except TimeoutError:
                pass
        yield partial(self._remember, key)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        ended = self._first[key] = asyncio.Event()
        try:
            yield
        finally:
            del self._first[key]
            ended.set()

    def _remember(self, key: str) -> None:
        now = self._clock()
        if len(self._cached) >= MOST:
            self._cached = {kept: until for kept, until in self._cached.items() if until > now}
            if len(self._cached) >= MOST:
                self._cached.clear()
        self._cached[key] = now + CACHED_SECONDS
