"""The engines of a process: each is started and closed, and one that dies ends the process."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from tests.tasks.routing.decide.in_force import OPEN, policy_of
from tests.waiting import until
from tierqueue.router.errors import Misconfigured
from tierqueue.router.item import Tier
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.process.process_engines import ProcessEngines


class Engine:
    """An engine that serves nobody; it dies once it is told to."""

    def __init__(self, *, starts: bool = True, closes: bool = True) -> None:
        self.starts, self.closes = starts, closes
        self.started = self.closed = False
        self.dies = asyncio.Event()

    async def start(self) -> None:
        if not self.starts:
            raise Misconfigured("no weights")
        self.started = True

    async def failed(self) -> str:
        await self.dies.wait()
        return "out of memory"

    async def close(self) -> None:
        self.closed = True
        if not self.closes:
            raise RuntimeError("it hangs")


@pytest.fixture
def loop() -> Iterator[EventLoopThread]:
    loop = EventLoopThread()
    loop.start()
    yield loop
    loop.stop()


@pytest.fixture
def engines(loop: EventLoopThread) -> ProcessEngines:
    return ProcessEngines(Tier.OPEN_WEIGHT, loop)


@pytest.fixture
def ended() -> Iterator[list[int]]:
    """The signals that this process was sent to end it."""
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    yield ended
    signal.signal(signal.SIGTERM, before)


def kill(engine: Engine, loop: EventLoopThread) -> None:
    async def die() -> None:
        engine.dies.set()

    loop.run(die())


def test_the_heartbeat_says_which_engine_is_loaded_and_since_when(engines: ProcessEngines) -> None:
    engine, deployment = Engine(), policy_of(OPEN).deployments["open"]
    engines.load(deployment, engine, lambda: 17)  # type: ignore[arg-type]
    assert engine.started
    assert engines.loading == {"loading": "open", "moments": {"loading": 17}}


def test_an_engine_that_does_not_start_says_why_and_those_before_it_are_closed(
    engines: ProcessEngines,
) -> None:
    first, second = Engine(), Engine(starts=False)
    engines.start(first)  # type: ignore[arg-type]
    with pytest.raises(Misconfigured, match="no weights"):
        engines.start(second)  # type: ignore[arg-type]
    engines.close()
    assert (first.closed, second.closed) == (True, False)


def test_one_that_cannot_be_closed_keeps_no_other_from_it(engines: ProcessEngines) -> None:
    first, second = Engine(closes=False), Engine()
    engines.start(first)  # type: ignore[arg-type]
    engines.start(second)  # type: ignore[arg-type]
    engines.close()
    assert (first.closed, second.closed) == (True, True)


def test_an_engine_that_dies_ends_the_process(
    engines: ProcessEngines, loop: EventLoopThread, ended: list[int]
) -> None:
    engines.start(engine := Engine())  # type: ignore[arg-type]
    kill(engine, loop)
    assert until(lambda: ended) == [signal.SIGTERM]


def test_an_engine_that_dies_as_it_is_closed_ends_nothing(
    engines: ProcessEngines, loop: EventLoopThread, ended: list[int]
) -> None:
    engines.start(engine := Engine())  # type: ignore[arg-type]
    engines.close()
    kill(engine, loop)
    loop.stop()
    os.kill(os.getpid(), signal.SIGTERM)  # the one signal that comes is this test's own
    assert until(lambda: ended) == [signal.SIGTERM]
