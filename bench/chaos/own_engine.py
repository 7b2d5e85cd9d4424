"""The storm's own engine: the null engine, which keeps books outside the system."""

import asyncio
import os
from pathlib import Path

from bench.chaos.hook import Hook, machine_time, note
from bench.null_engine import NullEngine, fitting
from tierqueue.router.outcome import Completed, Reply
from tierqueue.workers.engines.engine import Call

POISON = "[[kills its worker]]"
"""In a prompt: the call takes the whole process with it."""


class OwnEngine(NullEngine):
    """Answers with the item and the fence that it was asked under, where no schema is.

    ``log`` gets one JSON line as a call begins and one as it ends: item, fence, attempt, the
    process, epoch seconds, tokens, and the cost in nano-dollars that a vendor would bill: none.
    """

    def __init__(self, log: Path, seconds: float, hook: Hook) -> None:
        super().__init__(_signed, seconds)
        self._hook = hook
        self._log = log

    async def complete(self, call: Call) -> Reply:
        """One call; a poisonous one ends in the middle of it, with its process."""
        if not self.healthy:
            return await super().complete(call)
        line = {
            "model": call.model,
            "item": call.item,
            "fence": str(call.fence),
            "attempt": call.labels.get("x-tierqueue-attempt") or call.labels.get("attempt"),
            "pid": os.getpid(),
            "started": machine_time(),
        }
        note(self._log, line)
        if POISON in call.question:
            await asyncio.sleep(self.seconds / 2)
            self._hook.die("poison")
        reply = await super().complete(call)
        if isinstance(reply, Completed):
            line["input_tokens"] = reply.usage.input_tokens
            line["output_tokens"] = reply.usage.output_tokens
        note(self._log, {**line, "ended": machine_time(), "cost_nanousd": 0})
        return reply


def _signed(call: Call) -> str:
    return f"{call.item}/{call.fence}" if call.schema is None else fitting(call)
