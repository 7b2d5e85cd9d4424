"""Turns: calls with one adapter run together, those with another after them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """At one time only calls of one kind are inside; the kinds come in the order they first asked.

    vLLM 0.32 on a CPU answers a call without an adapter by the adapter of its neighbours in the
    batch. Used by one loop alone.
    """

    def __init__(self) -> None:
        self._kind: str | None = None
        self._inside = 0
        self._waiting: dict[str | None, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, kind: str | None) -> AsyncIterator[None]:
        """Wait for the turn of ``kind``, and be inside."""
        if not self._inside or (kind == self._kind and not self._waiting):
            self._kind = kind
            self._inside += 1
        else:
            await self._turn(kind)
        try:
            yield
        finally:
            self._left()

    async def _turn(self, kind: str | None) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(kind, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._left()  # its turn had come
            raise

    def _left(self) -> None:
        self._inside -= 1
        while not self._inside and self._waiting:
            self._kind = next(iter(self._waiting))
            for turn in self._waiting.pop(self._kind):
                if not turn.done():
                    self._inside += 1
                    turn.set_result(None)
