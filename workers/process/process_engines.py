"""The engines of a worker process: started one by one, watched, and closed together."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import structlog

from tierqueue.router.item import Tier
from tierqueue.router.policy.deployment import Deployment
from tierqueue.workers.engines.engine import Engine
from tierqueue.workers.process.event_loop import EventLoopThread

_log = structlog.get_logger(__name__)

CLOSING_SECONDS = 10.0
"""Seconds an engine may take to close; vLLM takes about five."""


class ProcessEngines:
    """What runs on ``loop``. An engine that dies ends the process (SIGTERM): a supervisor starts
    both afresh.
    """

    def __init__(self, tier: Tier, loop: EventLoopThread) -> None:
        self._tier = tier
        self._loop = loop
        self._engines: list[Engine] = []
        self._watches: list[Future[None]] = []
        self._closing = False
        self.loading: Mapping[str, Any] = {}
        """What the heartbeat says of the engine that is loaded last."""

    def load(self, deployment: Deployment, engine: Engine, now: Callable[[], int]) -> None:
        """Start an engine: minutes, where a large model's weights are read. ``now`` answers in
        epoch microseconds. Raises what the engine raises.
        """
        self.loading = {"loading": deployment.name, "moments": {"loading": now()}}
        _log.info("engine_loading", deployment=deployment.name, model=deployment.model)
        began = time.monotonic()
        self.start(engine)
        took = round(time.monotonic() - began, 1)
        _log.info("engine_loaded", deployment=deployment.name, seconds=took)

    def start(self, engine: Engine) -> None:
        """Start an engine that is soon ready. Raises what the engine raises."""
        self._loop.run(engine.start())
        self._engines.append(engine)
        # Kept: the loop itself holds its tasks by weak references only.
        self._watches.append(self._loop.submit(self._end_with(engine)))

    def close(self) -> None:
        """Close each engine, whatever becomes of the others; one that dies now ends nothing."""
        self._closing = True
        for engine in self._engines:
            try:
                self._loop.run(engine.close(), timeout=CLOSING_SECONDS)
            except Exception as error:  # noqa: BLE001 - the other engines are closed all the same
                _log.warning("engine_not_closed", error=type(error).__name__)

    async def _end_with(self, engine: Engine) -> None:
        why = await engine.failed()
        if not self._closing:
            _log.critical("engine_failed", tier=self._tier.value, why=why)
            os.kill(os.getpid(), signal.SIGTERM)
