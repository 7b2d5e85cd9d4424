"""Results that an event loop waits for: all of them are asked for together, from one thread."""

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import structlog
from celery import states
from celery.exceptions import TimeoutError as CeleryTimeoutError

if TYPE_CHECKING:
    from tierqueue.tasks.results.replayable_results import ReplayableResult

_log = structlog.get_logger(__name__)

T = TypeVar("T")

_SOONEST_SECONDS = 0.05
"""Seconds between two questions to the broker where few results are waited for."""

_MOST_ASKED = 20_000
"""Results asked for in a second, whatever the number that is waited for."""

_TICK_SECONDS = 1.0
"""Seconds between two questions to the ledger, which knows what the broker has forgotten."""

_AT_ONCE = 1_000
_SUBMITTING = 8
"""Threads that submit: as many calls stand in the database at once."""


class ResultWaiter:
    """What one event loop waits for. Its threads end with the loop, its task with the need."""

    def __init__(self) -> None:
        self._asking = ThreadPoolExecutor(1, "results-awaited")
        self._submitting = ThreadPoolExecutor(_SUBMITTING, "items-submitted")
        self._wanted: dict[str, list[tuple[ReplayableResult, asyncio.Future[Any]]]] = {}
        self._checking: asyncio.Task[None] | None = None
        self._checked_at = 0.0

    async def submitted(self, submit: Callable[[], T]) -> T:
        """What ``submit`` returns, called beside the event loop."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        return await loop.run_in_executor(self._submitting, partial(context.run, submit))

    async def got(self, result: "ReplayableResult", seconds: float | None) -> Any:
        """What ``result.get()`` returns or raises once it has ended; Celery's ``TimeoutError``."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        mine = (result, future)
        self._wanted.setdefault(result.id, []).append(mine)
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check_while_wanted())
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            if future.done() and not future.cancelled():
                raise  # what the item itself ended with
            raise CeleryTimeoutError("The operation timed out.") from None
        finally:
            left = [other for other in self._wanted.get(result.id, ()) if other is not mine]
            if left:
                self._wanted[result.id] = left
            else:
                self._wanted.pop(result.id, None)

    async def _check_while_wanted(self) -> None:
        try:
            await self._check()
        finally:
            # A task holds its loop, which would be kept for ever with all that is kept for it.
            self._checking = None

    async def _check(self) -> None:
        loop = asyncio.get_running_loop()
        while self._wanted:
            asks_ledger = loop.time() - self._checked_at >= _TICK_SECONDS
            if asks_ledger:
                self._checked_at = loop.time()
            wanted = {name: those[0][0] for name, those in self._wanted.items()}
            try:
                ended = await loop.run_in_executor(self._asking, _ended, wanted, asks_ledger)
            except Exception as error:  # noqa: BLE001 - broker and ledger are away: asked again
                _log.warning("results_not_asked", error=type(error).__name__)
                ended = {}
            for name, meta in ended.items():
                for result, future in self._wanted.pop(name, ()):
                    got = await loop.run_in_executor(self._asking, _read, result, meta)
                    _fulfil(future, got)
            await asyncio.sleep(max(_SOONEST_SECONDS, len(wanted) / _MOST_ASKED))


def _ended(wanted: Mapping[str, "ReplayableResult"], asks_ledger: bool) -> dict[str, Any]:
    """What has ended of these, as backends hold it."""
    backend = next(iter(wanted.values())).app.backend
    names: Sequence[str] = list(wanted)
    found: dict[str, Any] = {}
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        found |= dict(backend.get_many(some, max_iterations=1))
        if asks_ledger and (left := [name for name in some if name not in found]):
            found |= {meta["task_id"]: meta for meta in backend.from_ledger(left)}
    return {name: meta for name, meta in found.items() if meta["status"] in states.READY_STATES}


def _read(result: "ReplayableResult", meta: Any) -> tuple[Any, BaseException | None]:
    """What ``get`` returns or raises, asked with what was found already."""
    result.backend = result.app.backend  # that of the thread which asks
    result._cache = meta  # noqa: SLF001 - a result of ours
    try:
        return result.get(disable_sync_subtasks=False), None
    except Exception as error:  # noqa: BLE001 - whoever awaits it is told
        return None, error


def _fulfil(future: "asyncio.Future[Any]", got: tuple[Any, BaseException | None]) -> None:
    if future.done():
        return
    answer, error = got
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)


_OF_LOOP: "WeakKeyDictionary[asyncio.AbstractEventLoop, ResultWaiter]" = WeakKeyDictionary()


def waiting() -> ResultWaiter:
    """What the running event loop waits for."""
    loop = asyncio.get_running_loop()
    if loop not in _OF_LOOP:
        _OF_LOOP[loop] = ResultWaiter()
    return _OF_LOOP[loop]
