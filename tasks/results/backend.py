"""The result backend of whoever reaches the ledger: the broker first, and the ledger where the
broker does not know, knows only of a failure, or cannot be asked.

``.get()`` returns although the broker lost everything while it waited; a chord made here says its
size to the ledger, which counts it if all its parts are items.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from celery import states
from celery.backends.redis import RedisBackend, ResultConsumer
from celery.canvas import signature
from celery.result import GroupResult
from redis.exceptions import RedisError

from tierqueue.ledger.results import broker_loss, chords
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.results.fulfil import celery_result, stored
from tierqueue.tasks.results.replayable_results import ASKS_LEDGER, Meta
from tierqueue.tasks.results.signatures import without_errbacks

_log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
"""Seconds between two questions to the ledger while results are waited for."""

_FIRST_US = 2 * SECOND_US
"""Microseconds after an item's end in which the broker alone tells of its answer."""

_AWAY_SECONDS = 5.0
"""Seconds after the broker gave no answer in which the ledger is asked first."""

_MOST = 1000
"""Results asked for at once."""

_BROKER_AWAY = (RedisError, OSError)


class LedgerConsumer(ResultConsumer):  # type: ignore[misc]  # celery ships no types
    """Waits for results at the broker, and asks the ledger once a second."""

    _checked_at = 0.0

    def on_wait_for_pending(self, result: Any, **kwargs: Any) -> None:
        """The look before the waiting, at the broker alone: the waiting itself asks the ledger."""
        asking = ASKS_LEDGER.set(False)
        try:
            super().on_wait_for_pending(result, **kwargs)
        finally:
            ASKS_LEDGER.reset(asking)

    def drain_events(self, timeout: float | None = None) -> None:
        """Take what the broker tells; then, once a second, what the ledger knows."""
        if self._pubsub is None and self.subscribed_to and not self.backend.away:
            self._reconnect()
        super().drain_events(timeout=timeout)
        if time.monotonic() - self._checked_at < TICK_SECONDS:
            return
        self._checked_at = time.monotonic()
        waiting = sorted({task_id for those in self._pending_results for task_id in list(those)})
        for start in range(0, len(waiting), _MOST):
            for meta in self.backend.from_ledger(waiting[start : start + _MOST]):
                self.on_state_change(meta, None)

    def _reconnect(self) -> None:
        """One try, where the ledger can be asked meanwhile; Celery's own twenty where it cannot."""
        if self.backend.ledger is None:
            super()._reconnect()
            return
        try:
            self._reconnect_pubsub()
        except _BROKER_AWAY as error:
            with self._locked():
                self._pubsub = None
            self.backend.is_away(error)

    def consume_from(self, task_id: str) -> None:
        """As Celery's; while the broker is away it is subscribed to later."""
        if not self.backend.away:
            super().consume_from(task_id)
            return
        with self._locked():
            self._pubsub = None
            self.subscribed_to.add(self._get_key_for_task(task_id))


class LedgerBackend(RedisBackend):  # type: ignore[misc]  # celery ships no types
    """As Celery's for Redis; the ledger is the truth of how an item ended.

    What the broker remembers of an answer is final and is not looked up. A failure it remembers
    may have been replayed since, or belong to an older copy of the broker; what it does not know
    it may have forgotten; and it may be away.
    """

    ResultConsumer = LedgerConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._structured: set[str] = set()
        self._away_until = 0.0

    @property
    def ledger(self) -> Ledger | None:
        """The ledger, for whoever reaches it."""
        app = self.app
        return app.installation.ledger if app.installation.settings.ledger_url is not None else None

    @property
    def away(self) -> bool:
        """Whether the broker gave no answer a moment ago, so that the ledger is asked first."""
        return self.ledger is not None and time.monotonic() < self._away_until

    def is_away(self, error: BaseException) -> None:
        """The broker gave no answer."""
        if not self.away:
            _log.warning("broker_away", error=type(error).__name__)
        self._away_until = time.monotonic() + _AWAY_SECONDS

    def decode_result(self, payload: Any) -> Meta:
        """As Celery's; what is no result tells nothing, so that the ledger is asked."""
        try:
            meta = super().decode_result(payload)
            if isinstance(meta["status"], str) and {"result", "task_id"} <= meta.keys():
                return dict(meta)
        except Exception as error:  # noqa: BLE001 - somebody else's bytes raise what they like
            _log.warning("result_unreadable", error=type(error).__name__)
        return {"status": states.PENDING, "result": None}

    def from_ledger(self, task_ids: Sequence[str], *, at_once: bool = False) -> list[Meta]:
        """The results of these Celery ids whose items have ended, as Redis would hold them.

        An answer of the last two seconds is left to the broker, which tells of it in the order
        that Celery promises, unless it is wanted ``at_once``.
        """
        if not task_ids:
            return []
        known = self._known(task_ids, at_once=at_once, ended=True) or {}
        return [result for result in known.values() if _ended(result)]

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """As Celery's; notes headers with groups inside, whose structure only Celery restores."""
        super().apply_chord(header_result_args, body, **kwargs)
        group_id, results = header_result_args[0], header_result_args[1]
        if not isinstance(results, list | tuple) or any(
            isinstance(result, GroupResult) for result in results
        ):
            self._structured.add(group_id)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """As Celery's, and to the ledger: called before the last part is sent."""
        super().set_chord_size(group_id, chord_size)
        if group_id in self._structured:
            self._structured.discard(group_id)
        elif (ledger := self.ledger) is not None:
            with ledger.write() as connection:
                chords.announce(connection, group_id, chord_size)

    def chord_error_from_stack(self, callback: Any, exc: BaseException | None = None) -> Any:
        """As Celery's; a chord that has the failed one for a part fails with it, at any depth."""
        told = super().chord_error_from_stack(callback, exc)
        group_id, body = callback.options.get("group_id"), callback.options.get("chord")
        if group_id is None or body is None or (ledger := self.ledger) is None:
            return told
        with ledger.read() as connection:
            before = chords.has_failed(connection, group_id)
        around = signature(without_errbacks(body) if before else body, app=self.app)
        self.chord_error_from_stack(around, exc)
        # Noted last: who is killed in between tells it again, its errbacks too.
        with ledger.write() as connection:
            chords.fail(connection, group_id)
        return told

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:
        """As Celery's, corrected by the ledger; raises where neither of the two can tell."""
        if known := self._without_broker([task_id]):
            return known[task_id]
        try:
            meta = super().get_task_meta(task_id, cache=cache)
        except _BROKER_AWAY as error:
            self.is_away(error)
            if known := self._without_broker([task_id]):
                return known[task_id]
            raise
        joined = task_id in self.app.installation.joined
        wait = meta["status"] == states.PENDING and not (joined or ASKS_LEDGER.get())
        if wait or meta["status"] == states.SUCCESS:
            return meta
        return (self._known([task_id], at_once=joined) or {}).get(task_id, meta)

    def get_many(
        self, task_ids: Iterable[str], max_iterations: int | None = None, **kwargs: Any
    ) -> Iterator[tuple[str, Meta]]:
        """As Celery's, corrected by the ledger; raises where neither of the two can tell."""
        wanted = set(task_ids)
        if max_iterations == 1:
            # Celery would sleep after its only look.
            kwargs["interval"] = 0
        known = self._without_broker(sorted(wanted))
        if known is None:
            try:
                told_of = dict(super().get_many(wanted, max_iterations=max_iterations, **kwargs))
            except _BROKER_AWAY as error:
                self.is_away(error)
                known = self._without_broker(sorted(wanted))
                if known is None:
                    raise
            else:
                known = told_of | self._doubted(wanted, told_of)
        yield from ((promise_id, meta) for promise_id, meta in known.items() if _ended(meta))

    def _doubted(self, wanted: set[str], told_of: Mapping[str, Meta]) -> dict[str, Meta]:
        """What the ledger says of failures that the broker told of, and of calls that joined."""
        failed = [
            promise_id for promise_id, meta in told_of.items() if meta["status"] != states.SUCCESS
        ]
        for promise_id in failed:
            self._cache.pop(promise_id, None)
        joined = [
            promise_id
            for promise_id in wanted - told_of.keys()
            if promise_id in self.app.installation.joined
        ]
        corrected = (failed and self._known(failed)) or {}
        return corrected | ((joined and self._known(joined, at_once=True)) or {})

    def _without_broker(self, task_ids: Sequence[str]) -> dict[str, Meta] | None:
        """What the ledger says of these, while the broker is away and if it knows all of them."""
        if not self.away:
            return None
        known = self._known(task_ids, at_once=True)
        return known if known and len(known) == len(task_ids) else None

    def _known(
        self, task_ids: Sequence[str], *, at_once: bool = False, ended: bool = False
    ) -> dict[str, Meta] | None:
        """What the ledger says of these Celery ids; ``None`` where it cannot be asked.

        Left out are ids that it does not know, and where only those that have ``ended`` are asked
        for, the others. What was erased is a failure that says so.
        """
        if (ledger := self.ledger) is None:
            return None
        try:
            with ledger.read() as connection:
                found = broker_loss.endings(connection, task_ids, ended=ended)
                settled = database_now(connection) - _FIRST_US
        except Exception as error:  # noqa: BLE001 - asked again in a second
            _log.warning("ledger_not_asked", error=type(error).__name__)
            return None
        done = datetime.now(UTC).isoformat()
        known: dict[str, Meta] = {}
        for owed, ending, ended_at in found:
            late = at_once or ended_at is None or ending.answer is None or ended_at < settled
            if ended_at is None or not late:
                meta = {"task_id": owed.id, "status": states.PENDING, "result": None}
            else:
                meta = stored(owed, *celery_result(ending), done)
            known[owed.id] = self.meta_from_decoded(meta)
        return known


def _ended(meta: Meta) -> bool:
    return meta["status"] in states.READY_STATES
