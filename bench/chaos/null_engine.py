"""A house engine without a model. It keeps its own books outside the system."""

import asyncio
import os
import time
from pathlib import Path

from bench.chaos.hook import Hook, machine_time, note
from tierqueue.router.outcome import ENGINE_TIME, Completed, Interrupted, Reply, Usage
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.engine_time import EngineTime, OutOfEngineTime

POISON = "[[kills its worker]]"
"""In a prompt: the call takes the whole process with it."""


class NullEngine:
    """Answers after ``seconds`` with the item and the fence it was asked under (simulated).

    ``log`` gets one JSON line as a call begins and one as it ends: item, fence, attempt, the
    process, epoch seconds, tokens, and the cost in nano-dollars that a vendor would bill: none.
    """

    def __init__(self, model: str, log: Path, seconds: float, hook: Hook) -> None:
        self._model = model
        self._hook = hook
        self._log = log
        self._seconds = seconds
        self._time = EngineTime(time.monotonic)
        self.healthy = False

    async def start(self) -> None:
        """Be ready."""
        self.healthy = True

    async def complete(self, call: Call) -> Reply:
        """One call."""
        line = {
            "model": self._model,
            "item": call.item,
            "fence": str(call.fence),
            "attempt": call.labels.get("x-tierqueue-attempt") or call.labels.get("attempt"),
            "pid": os.getpid(),
            "started": machine_time(),
        }
        note(self._log, line)
        mark = self._time.enter()
        interrupted = False
        try:
            async with self._time.within(mark, call.engine_seconds):
                await asyncio.sleep(self._seconds / 2)
                if POISON in call.question:
                    self._hook.die("poison")
                await asyncio.sleep(self._seconds / 2)
        except OutOfEngineTime:
            interrupted = True
        except asyncio.CancelledError:
            self._time.cut(call.item, call.fence, mark)
            raise
        finally:
            engine_seconds = self._time.leave(mark)
        if interrupted:
            note(self._log, {**line, "ended": machine_time(), "cost_nanousd": 0})
            return Interrupted(kind=ENGINE_TIME, usage=Usage(engine_seconds=engine_seconds))
        usage = Usage(
            input_tokens=len(call.question) // 4 + 1,
            output_tokens=12,
            engine_seconds=engine_seconds,
        )
        tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        note(self._log, {**line, **tokens, "ended": machine_time(), "cost_nanousd": 0})
        text = f"{call.item}/{call.fence}"
        return Completed(text=text, usage=usage, model_served=self._model, simulated=True)

    def spent(self, call: Call) -> Usage:
        """What a cancelled call has taken."""
        return Usage(engine_seconds=self._time.was_cut(call.item, call.fence))

    async def failed(self) -> str:
        """Never returns."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Stop."""
        self.healthy = False
