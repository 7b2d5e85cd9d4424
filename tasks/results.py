"""The result backend of whoever reaches the ledger: Redis first, and what Redis forgot from there.

``.get()`` returns although the broker lost everything while it waited; a chord made here says its
size to the ledger, which counts it if all its parts are items.
"""

import time
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import structlog
from celery import states
from celery.backends.redis import RedisBackend, ResultConsumer
from celery.result import GroupResult

from tierqueue.ledger import chords, recall
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.tasks.promises import stored, told

_log = structlog.get_logger(__name__)

LOOK = 1.0
"""Seconds between two questions to the ledger while results are waited for."""

_FIRST = 2_000_000
"""Microseconds after an item's end in which the broker alone tells of it."""

_MOST = 1000
"""Results asked for at once."""


_asks_ledger: ContextVar[bool] = ContextVar("asks_ledger", default=True)


class LedgerConsumer(ResultConsumer):  # type: ignore[misc]  # celery ships no types
    """Waits for results at the broker, and asks the ledger once a second."""

    _looked_at = 0.0

    def on_wait_for_pending(self, result: Any, **kwargs: Any) -> None:
        """The look before the waiting, at the broker alone: the waiting itself asks the ledger."""
        asking = _asks_ledger.set(False)
        try:
            super().on_wait_for_pending(result, **kwargs)
        finally:
            _asks_ledger.reset(asking)

    def drain_events(self, timeout: float | None = None) -> None:
        """Take what the broker tells; then, once a second, what the ledger knows."""
        super().drain_events(timeout=timeout)
        if time.monotonic() - self._looked_at < LOOK:
            return
        self._looked_at = time.monotonic()
        waiting = sorted({each for those in self._pending_results for each in list(those)})
        for start in range(0, len(waiting), _MOST):
            for meta in self.backend.from_ledger(waiting[start : start + _MOST]):
                self.on_state_change(meta, None)


class LedgerBackend(RedisBackend):  # type: ignore[misc]  # celery ships no types
    """As Celery's for Redis; a result that is not there is looked up in the ledger."""

    ResultConsumer = LedgerConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._structured: set[str] = set()

    def from_ledger(self, task_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The results of these Celery ids whose items have ended, as Redis would hold them."""
        ledger = self._ledger
        if ledger is None or not task_ids:
            return []
        try:
            with ledger.read() as connection:
                before = database_now(connection) - _FIRST
                found = recall.endings(connection, task_ids, before)
        except Exception as error:  # noqa: BLE001 - asked again in a second
            _log.warning("ledger_not_asked", error=type(error).__name__)
            return []
        done = datetime.now(UTC).isoformat()
        return [
            self.meta_from_decoded(stored(promise, *told(ending), done))
            for promise, ending in found
        ]

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """As Celery's; notes headers with groups inside, whose structure only Celery restores."""
        super().apply_chord(header_result_args, body, **kwargs)
        group_id, results = header_result_args[0], header_result_args[1]
        if not isinstance(results, list | tuple) or any(
            isinstance(each, GroupResult) for each in results
        ):
            self._structured.add(group_id)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """As Celery's, and to the ledger: called before the last part is sent."""
        super().set_chord_size(group_id, chord_size)
        if group_id in self._structured:
            self._structured.discard(group_id)
        elif (ledger := self._ledger) is not None:
            with ledger.write() as connection:
                chords.announce(connection, group_id, chord_size)

    def add_pending_result(
        self, result: Any, weak: bool = False, start_drainer: bool = True
    ) -> Any:
        """As Celery's; nothing is subscribed to for one result that is there already."""
        if start_drainer and not weak:
            asking = _asks_ledger.set(False)
            try:
                if result.ready():
                    return result
            finally:
                _asks_ledger.reset(asking)
        return super().add_pending_result(result, weak=weak, start_drainer=start_drainer)

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:
        """As Celery's, then the ledger; what stores results asks the broker alone."""
        meta = super().get_task_meta(task_id, cache=cache)
        if meta["status"] != states.PENDING or not _asks_ledger.get():
            return meta
        found = self.from_ledger([task_id])
        return found[0] if found else meta

    @property
    def _ledger(self) -> Ledger | None:
        app = self.app
        return app.ledger if app.settings.ledger_url is not None else None
