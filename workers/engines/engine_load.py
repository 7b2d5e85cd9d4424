"""An engine's load, by its own scheduler, and the calls that are worth having in flight."""

import math
import threading
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

from tierqueue.workers.engines.engine_time import Clock

AHEAD = 1.5
"""Calls in flight for each that the engine runs at once: the next ones stand at its door."""

FULL = 0.9
"""The share of the key-value cache from which it is what keeps calls waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFigures:
    """Now: ``running`` and ``waiting`` calls, ``kv_use`` (0 to 1) and ``depth``. Since the start:
    the rest, in tokens and scheduler steps.
    """

    running: int
    waiting: int
    kv_use: float
    depth: int
    peak_running: int
    steps: int
    running_steps: int
    """Running calls, added up over the steps: by ``steps`` it is the mean."""
    prefix_queries: int
    prefix_hits: int
    output_tokens: int

    def heartbeat_detail(self) -> dict[str, float]:
        """As the heartbeat tells it."""
        return asdict(self)


class EngineLoad:
    """Written by the engine's loop at each step, read by any thread.

    ``most``: how many calls the engine runs at once, 0 until it is known. An engine that has no
    space left in its key-value cache runs fewer: then those are what ``depth`` goes by.
    """

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._running = self._waiting = self._peak = 0
        self._kv_use = 0.0
        self._idle = False
        self._steps = self._running_steps = 0
        self._queries = self._hits = self._tokens = 0

    def step(self, running: int, waiting: int, kv_use: float, queries: int, hits: int) -> None:
        """The scheduler took a step; ``queries`` and ``hits`` are prompt tokens of this one."""
        with self._lock:
            if self._idle:
                # A step from before the last call left, told late.
                running = waiting = 0
            self._running, self._waiting, self._kv_use = running, waiting, kv_use
            self._peak = max(self._peak, running)
            if running:
                self._steps += 1
                self._running_steps += running
            self._queries += queries
            self._hits += hits

    def idle(self) -> None:
        """No call is left: what was aborted takes no step that would say so."""
        with self._lock:
            self._running = self._waiting = 0
            self._idle = True

    def begun(self) -> None:
        """A call goes to the engine: its steps count again."""
        self._idle = False

    def answered(self, tokens: int) -> None:
        """A call ended with so many output tokens."""
        with self._lock:
            self._tokens += tokens

    @property
    def depth(self) -> int:
        """How many calls are worth having in flight: more would only wait, and cannot be taken
        back by who comes first.
        """
        held_up = self._waiting > 0 and self._kv_use >= FULL
        at_once = min(self._running, self.most) if held_up else self.most
        return max(2, math.ceil(AHEAD * at_once))

    def figures(self) -> EngineFigures:
        """All of it at one moment."""
        with self._lock:
            return EngineFigures(
                running=self._running,
                waiting=self._waiting,
                kv_use=round(self._kv_use, 3),
                depth=self.depth,
                peak_running=self._peak,
                steps=self._steps,
                running_steps=self._running_steps,
                prefix_queries=self._queries,
                prefix_hits=self._hits,
                output_tokens=self._tokens,
            )


HUNG_SECONDS = 60.0
"""Seconds without a step, with calls to work on, after which an engine is taken to hang."""


class Stall:
    """For how many seconds an engine that has calls has taken no step. Used by one loop alone."""

    def __init__(self, load: EngineLoad, clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._since: float | None = None
        self._steps = 0

    def begun(self) -> None:
        """A call goes to the engine."""
        if self._since is None:
            self._since = self._clock()

    def ended(self, *, idle: bool) -> None:
        """A call ended otherwise than by its time limit; ``idle``: it was the last one."""
        self._since = None if idle else self._clock()

    @property
    def seconds(self) -> float:
        """Since the last sign of life, or since the first call without one; 0 without calls."""
        steps = self._load.figures().steps
        if steps != self._steps:
            self._steps = steps
            self._since = None if self._since is None else self._clock()
        return 0.0 if self._since is None else self._clock() - self._since


@runtime_checkable
class BatchingEngine(Protocol):
    """An engine that runs many calls at once and says how it goes."""

    load: EngineLoad
