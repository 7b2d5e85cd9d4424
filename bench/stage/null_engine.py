"""The null engine: answers every call at once and calls no model. Simulated, and says so.

Where ``BENCH_CALLS`` names a file, each call leaves a line there as it begins: item id and the
time in seconds since the epoch.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from typing import Any, TextIO

from tierqueue.router.outcome import Completed, Reply, Usage
from tierqueue.router.policy.deployment import Deployment
from tierqueue.workers.engines.engine import Call, Engine

CALLS = "BENCH_CALLS"
"""The variable that names the file of calls."""


class NullEngine:
    """An ``Engine`` that takes no time: the first fitting answer, a fixed usage."""

    def __init__(self, calls: str | None = None) -> None:
        self._calls = calls
        self._file: TextIO | None = None
        self._answers: dict[int, tuple[Mapping[str, Any], str]] = {}

    async def start(self) -> None:
        """Open the file of calls, where there is one."""
        if self._calls:
            self._file = open(self._calls, "a", encoding="utf-8", buffering=1)  # noqa: ASYNC230, PTH123, SIM115

    async def complete(self, call: Call) -> Reply:
        """Answer at once."""
        if self._file is not None:
            self._file.write(f"{call.item} {time.time():.6f}\n")
        return Completed(
            text="Null." if call.schema is None else self._answer(call.schema),
            usage=Usage(input_tokens=100, output_tokens=10, engine_seconds=0.001),
            model_served=call.model,
            seconds=0.001,
            simulated=True,
        )

    def spent(self, call: Call) -> Usage:  # noqa: ARG002 - nothing is ever spent here
        """What a cancelled call has taken."""
        return Usage()

    async def failed(self) -> str:
        """Never returns: there is nothing that could fail."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close the file of calls."""
        if self._file is not None:
            self._file.close()

    def _answer(self, schema: Mapping[str, Any]) -> str:
        # The schema is kept beside its answer, so that its id is no other's while it is here.
        known = self._answers.get(id(schema))
        if known is None:
            fields = schema["properties"]
            text = json.dumps({name: _first(field) for name, field in fields.items()})
            known = self._answers[id(schema)] = (schema, text)
        return known[1]


def _first(field: Mapping[str, Any]) -> Any:
    if "enum" in field:
        return field["enum"][0]
    return {"number": 1.0, "integer": 1, "boolean": True}.get(field["type"], "null")


def build(deployment: Deployment, environ: Mapping[str, str] = os.environ) -> Engine:  # noqa: ARG001
    """The null engine, whatever the deployment: takes the place of ``engines.build``."""
    return NullEngine(os.environ.get(CALLS))
