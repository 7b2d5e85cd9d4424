"""The one event loop of a worker process, on a thread of its own.

Celery's threads hand coroutines over and wait; engines, heartbeats and limiters live on the loop.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoopThread:
    """An event loop that runs from ``start`` to ``stop``, whoever submits to it."""

    def __init__(self, name: str = "tierqueue-loop") -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = threading.Event()
        # A daemon, so that a worker that ends badly is not kept alive by its loop.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; returns once the loop turns. Raises ``RuntimeError`` if done twice."""
        self._thread.start()
        self._running.wait()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``coroutine`` on the loop, from any thread; cancelling the future cancels it.

        Raises ``RuntimeError`` when the loop does not run; the coroutine is then closed unrun.
        """
        if self._loop is None or not self._running.is_set():
            coroutine.close()
            raise RuntimeError("the worker's event loop is not running")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """``submit`` and wait; raises what the coroutine raises.

        After ``timeout`` seconds the coroutine is cancelled and ``TimeoutError`` raised.
        """
        future = self.submit(coroutine)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def stop(self, timeout: float = 10.0) -> bool:
        """Cancel what still runs, let it clean up, end the thread; safe to call twice.

        Returns whether the thread ended within ``timeout`` seconds.
        """
        if self._loop is not None and self._running.is_set():
            self._running.clear()
            self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            # Leaving the runner cancels all tasks, awaits them and closes async generators.
            self._loop = runner.get_loop()
            asyncio.set_event_loop(self._loop)
            self._loop.call_soon(self._running.set)
            self._loop.run_forever()
