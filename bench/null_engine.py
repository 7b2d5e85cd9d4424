"""The null engine: an engine without a model. Simulated, and says so.

Held to the same suite as the real engines; benches pass it in where a deployment's would stand.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from tierqueue.router.outcome import (
    ENGINE_TIME,
    Completed,
    Failed,
    Interrupted,
    Reply,
    Unavailable,
    Usage,
)
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.engine_time import EngineTime, OutOfEngineTime


def fitting(call: Call) -> str:
    """The first answer that a schema of flat fields allows, or a short text."""
    schema = call.schema
    if schema is None:
        return "Null."
    known = _FITTING.get(id(schema))
    if known is None:
        fields = schema["properties"]
        text = json.dumps({name: _first(field) for name, field in fields.items()})
        known = _FITTING[id(schema)] = (schema, text)
    return known[1]


_FITTING: dict[int, tuple[Mapping[str, Any], str]] = {}
"""The answer by its schema's id, which is no other's for as long as the schema is kept here."""


def _first(field: dict[str, object]) -> object:
    choices = field.get("enum")
    if isinstance(choices, list):
        return choices[0]
    known: dict[object, object] = {"number": 1.0, "integer": 1, "boolean": True}
    return known.get(field["type"], "null")


class NullEngine:
    """Gives ``answer`` to every call, after ``seconds``; charges engine time as the house does.

    A token is four characters, and the rest of them one more.
    """

    def __init__(self, answer: Callable[[Call], str] = fitting, seconds: float = 0.0) -> None:
        self._answer = answer
        self._time = EngineTime(time.monotonic)
        self.seconds = seconds
        self.healthy = False

    async def start(self) -> None:
        """Be ready."""
        self.healthy = True

    async def complete(self, call: Call) -> Reply:
        """Answer, unless the call's time is over before."""
        if not self.healthy:
            return Unavailable(kind="engine_dead", message="the null engine is not running")
        mark = self._time.enter()
        try:
            if self.seconds:
                async with (
                    asyncio.timeout(call.timeout),
                    self._time.within(mark, call.engine_seconds),
                ):
                    await asyncio.sleep(self.seconds)
        except OutOfEngineTime:
            used = Usage(engine_seconds=self._time.leave(mark))
            return Interrupted(kind=ENGINE_TIME, usage=used)
        except TimeoutError:
            self._time.leave(mark)
            return Failed(kind="timeout", message="the null engine is too slow", transient=True)
        except asyncio.CancelledError:
            self._time.cut(call.item, call.fence, mark)
            self._time.leave(mark)
            raise
        text = self._answer(call)
        kept = text[: call.output_limit * 4]
        usage = Usage(
            engine_seconds=self._time.leave(mark),
            input_tokens=_tokens(call.system) + _tokens(call.prefix) + _tokens(call.question),
            output_tokens=_tokens(kept),
        )
        return Completed(
            text=kept,
            usage=usage,
            model_served=call.model,
            finish="stop" if kept == text else "length",
            seconds=usage.engine_seconds,
            simulated=True,
        )

    def spent(self, call: Call) -> Usage:
        """What a cancelled call has taken; asked once."""
        return Usage(engine_seconds=self._time.was_cut(call.item, call.fence))

    async def failed(self) -> str:
        """Never returns: there is nothing that could fail."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Stop."""
        self.healthy = False


def _tokens(text: str) -> int:
    return -(-len(text) // 4)
