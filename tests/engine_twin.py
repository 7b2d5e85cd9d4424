"""An engine without a model, for tests and benches: held to the same suite as the real ones."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace

from tierqueue.router.outcome import Completed, Failed, Reply, Unavailable, Usage
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.engine_time import EngineTime

Script = Callable[[Call], Reply]


def answer(call: Call) -> Completed:
    """A fitting answer: the first value that a schema of flat fields allows, or a short text.

    Tokens are counted as a quarter of the bytes, rounded up.
    """
    if call.schema is None:
        text = f"Twin answer to {call.item}."
    else:
        fields = call.schema.get("properties", {})
        text = json.dumps({name: _first(field) for name, field in fields.items()})
    tokens = -(-len(text.encode()) // 4)
    if tokens > call.output_limit:
        text, tokens, finish = text[: call.output_limit * 4], call.output_limit, "length"
    else:
        finish = "stop"
    prompt = call.system + call.prefix + call.question
    usage = Usage(input_tokens=-(-len(prompt.encode()) // 4), output_tokens=tokens)
    return Completed(text=text, usage=usage, model_served=call.model, finish=finish, simulated=True)


def _first(field: dict[str, object]) -> object:
    choices = field.get("enum")
    if isinstance(choices, list):
        return choices[0]
    return {"number": 1.0, "integer": 1, "boolean": True, "array": [], "object": {}}.get(
        str(field.get("type")), "twin"
    )


class TwinEngine:
    """Plays ``script`` for every call, after ``seconds``; charges engine time as the house does.

    Remembers the calls it was given.
    """

    def __init__(self, script: Script = answer, seconds: float = 0.0) -> None:
        self._script = script
        self._time = EngineTime(time.monotonic)
        self.seconds = seconds
        self.calls: list[Call] = []
        self.in_flight = 0
        self.healthy = False

    async def start(self) -> None:
        """Be ready."""
        self.healthy = True

    async def complete(self, call: Call) -> Reply:
        """Answer by the script."""
        if not self.healthy:
            return Unavailable(kind="engine_dead", message="the twin is not running")
        self.calls.append(call)
        self.in_flight += 1
        mark = self._time.enter()
        try:
            if self.seconds:
                async with asyncio.timeout(call.timeout):
                    await asyncio.sleep(self.seconds)
        except TimeoutError:
            return Failed(kind="timeout", message="the twin is too slow", transient=True)
        except asyncio.CancelledError:
            self._time.cut(call.item, call.fence, mark)
            raise
        finally:
            seconds = self._time.leave(mark)
            self.in_flight -= 1
        reply = self._script(call)
        if isinstance(reply, Completed):
            return replace(reply, usage=replace(reply.usage, engine_seconds=seconds))
        return reply

    def spent(self, call: Call) -> Usage:
        """What a cancelled call has taken; asked once."""
        return Usage(engine_seconds=self._time.was_cut(call.item, call.fence))

    async def failed(self) -> str:
        """Never returns."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Stop."""
        self.healthy = False
