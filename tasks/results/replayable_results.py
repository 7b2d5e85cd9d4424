"""Celery's results of items that may be replayed: a failure that was read is not the last word."""

from contextvars import ContextVar
from typing import Any

from celery import states
from celery.result import AsyncResult, GroupResult
from vine import promise

from tierqueue.tasks.broker import memory

Meta = dict[str, Any]
"""A result as Celery's backends hold it."""

ASKS_LEDGER: ContextVar[bool] = ContextVar("asks_ledger", default=True)
"""Whether a question for a result goes on to the ledger where the broker knows none."""


class ReplayableResult(AsyncResult):  # type: ignore[misc]  # celery ships no types
    """As Celery's; a failure it has read is not its last word, since an item may be replayed."""

    failed_once = False
    """Whether it has read a failure: groups that it is a part of have counted it."""

    _cache: Meta | None

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """As Celery's; nothing is subscribed to for what is there already."""
        asking = ASKS_LEDGER.set(False)
        try:
            self.ready()
        finally:
            ASKS_LEDGER.reset(asking)
        return super().get(*args, **kwargs)

    def _maybe_reraise_parent_error(self) -> None:
        """As Celery's; failures of earlier steps are looked up again, as its own are."""
        for node in self._parents():
            for result in getattr(node, "results", None) or [node]:
                if isinstance(result, ReplayableResult):
                    result._forget_failure()  # noqa: SLF001 - of its own kind
        super()._maybe_reraise_parent_error()

    def _get_task_meta(self) -> Any:
        failure = self._forget_failure()
        try:
            return super()._get_task_meta()
        except Exception as error:
            if failure is None or not memory.is_away(error):
                raise
            return self._maybe_set_cache(failure)

    def _forget_failure(self) -> Meta | None:
        cached = self._cache
        if cached is None or cached["status"] == states.SUCCESS:
            return None
        self._cache, self.failed_once = None, True
        self.on_ready = promise(self._on_fulfilled, weak=True)
        return cached


class ReplayableGroup(GroupResult):  # type: ignore[misc]  # celery ships no types
    """As Celery's; failures it has read are looked up again."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """As Celery's, by fresh results where one had failed: a group is counted out but once."""
        if not any(map(_failed, self.results)):
            return super().get(*args, **kwargs)
        fresh = [
            self.app.AsyncResult(result.id) if _failed(result) else result
            for result in self.results
        ]
        return self.app.GroupResult(self.id, fresh, parent=self.parent).get(*args, **kwargs)


def _failed(result: Any) -> bool:
    cached = getattr(result, "_cache", None)
    once: bool = getattr(result, "failed_once", False)
    return once or (cached is not None and cached["status"] != states.SUCCESS)
