"""The noted engine: the null engine in place of every deployment's, which notes its calls."""

import os
import time
from collections.abc import Mapping
from typing import TextIO

from bench.null_engine import NullEngine
from tierqueue.router.outcome import Reply
from tierqueue.router.policy.deployment import Deployment
from tierqueue.workers.engines.engine import Call, Engine

CALLS = "BENCH_CALLS"
"""The variable that names the file of calls."""


class NotedEngine(NullEngine):
    """Takes no time; each call leaves a line in the file of calls as it begins: item id and the
    time in seconds since the epoch.
    """

    def __init__(self, calls: str) -> None:
        super().__init__()
        self._calls = calls
        self._file: TextIO | None = None

    async def start(self) -> None:
        """Open the file of calls."""
        self._file = open(self._calls, "a", encoding="utf-8", buffering=1)  # noqa: ASYNC230, PTH123, SIM115
        await super().start()

    async def complete(self, call: Call) -> Reply:
        """Answer at once."""
        if self._file is not None and self.healthy:
            self._file.write(f"{call.item} {time.time():.6f}\n")
        return await super().complete(call)

    async def close(self) -> None:
        """Close the file of calls."""
        await super().close()
        if self._file is not None:
            self._file.close()


def build(deployment: Deployment, environ: Mapping[str, str] = os.environ) -> Engine:  # noqa: ARG001
    """The null engine, whatever the deployment: takes the place of ``engines.build``."""
    calls = os.environ.get(CALLS)
    return NotedEngine(calls) if calls else NullEngine()
