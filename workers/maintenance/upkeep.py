"""The tick's slower half: dead letters to announce, a broker's loss to mend, payloads to drop.

Runs beside the looking, on a thread of its own, in every routing stage; each part is safe to run
many times over and in many places at once.
"""

import time
from collections.abc import Callable
from typing import Any

import structlog

from tierqueue.ledger.in_force import reusable_answers
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.operations import erasure, job_counts, raw_messages
from tierqueue.ledger.results import announcements, broker_loss, chords
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.defaults import LONGEST_REUSE_US
from tierqueue.router.policy.duration import DAY_US, HOUR_US, SECOND_US, microseconds
from tierqueue.router.policy.tables import RetentionPolicy
from tierqueue.tasks.broker import memory
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.results.fulfil import REGULATED_EXPIRES_SECONDS
from tierqueue.tasks.schedules import firing

_log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
"""Seconds between two rounds."""

_LATE_US = 2 * SECOND_US
"""Microseconds after a dead letter's end in which its worker announces it without our help."""

_MOST = 500
_PAGE = 5_000
_SLOW_SECONDS = 30.0
"""Seconds between two rounds of what has time."""

_FORGET_PROCESS_US = HOUR_US
"""Microseconds without a heartbeat after which a process is no longer shown."""

_FORGET_CHORD_US = 7 * DAY_US
"""Microseconds after which nobody tells a chord's last part again."""

_FORGET_QUESTION_US = LONGEST_REUSE_US + DAY_US
"""Microseconds after which what was asked is forgotten: its answer is reused no longer."""

_UNWATCHED_US = 10 * SECOND_US
"""Microseconds without a beat after which nobody knows what became of the broker."""


class Upkeep:
    """A ``round`` a second; a part that fails stops no other."""

    def __init__(
        self,
        ledger: Ledger,
        delivery: Delivery,
        backend: Any,
        *,
        wake: Callable[[], None],
        retention: Callable[[], RetentionPolicy],
        result_expires: float,
    ) -> None:
        """``backend``: Celery's, which holds a result for ``result_expires`` seconds; ``retention``
        gives what the policy of the moment says.
        """
        self._ledger = ledger
        self._delivery = delivery
        self._backend = backend
        self._wake = wake
        self._retention = retention
        self._result_expires = result_expires
        self._continuity = memory.Continuity(backend)
        self._noticed: tuple[int, int] | None = None
        self._beat = 0
        self._retained = -_SLOW_SECONDS

    def round(self) -> None:
        """Do everything once."""
        for part in (self._announce, self._mend, self._fold, self._schedules, self._retain):
            try:
                part()
            except Exception as error:  # noqa: BLE001 - the next tick tries again
                if unreachable(error) or memory.is_away(error):
                    _log.warning("upkeep_waits", part=part.__name__, error=type(error).__name__)
                else:
                    _log.exception("upkeep_failed", part=part.__name__, error=type(error).__name__)

    def _announce(self) -> None:
        with self._ledger.read() as connection:
            before = database_now(connection) - _LATE_US
            letters = announcements.overdue(connection, before, _MOST)
        self._delivery.announce(letters)

    def _fold(self) -> None:
        """What many writers have logged of jobs' rows goes into their sums."""
        if not self._ledger.one_writer:
            with self._ledger.write() as connection:
                job_counts.fold(connection)

    def _schedules(self) -> None:
        if made := firing.run_due(self._ledger):
            _log.info("schedules_ran", items=made)
            self._wake()

    def _mend(self) -> None:
        """Notice that the broker forgot, and tell it again what it was told since.

        Without its epoch it forgot everything; a beat that is older than it was, or long ago, says
        that it came back from an older copy, or may have while nobody looked. It is told a round
        after that was noticed: what was being told at the moment of the loss is in the ledger by
        then.
        """
        now = self._ledger.now()
        since = self._lost_since(now)
        if since is None:
            self._noticed = None
            self._beat = max(now, self._continuity.beat(now))
            return
        if self._noticed is None:
            self._noticed = (now, since)
            return
        mending = self._continuity.mending()
        if not mending.acquire():
            return
        lost_at, since = self._noticed
        again, dead = self._owe_again(mending, lost_at, since)
        self._continuity.begin(self._ledger.now())
        self._noticed, self._beat = None, 0
        if again or dead:
            _log.warning("broker_memory_lost", results_told_again=again, dead_letters_again=dead)
        mending.release()

    def _lost_since(self, now: int) -> int | None:
        """From when on the broker may have forgotten what it was told; ``None``: it has not."""
        has_epoch, beat = self._continuity.read()
        if not has_epoch:
            return 0
        if beat is not None and (beat < self._beat or beat < now - _UNWATCHED_US):
            return beat
        return None

    def _retain(self) -> None:
        """Take away what has had its time; the books and receipts stay."""
        if time.monotonic() - self._retained < _SLOW_SECONDS:
            return
        retention = self._retention()
        full = False
        with self._ledger.write() as connection:
            now = database_now(connection)
            for states, kept in (
                ((State.SUCCEEDED, State.CANCELLED), retention.succeeded),
                ((State.DEAD,), retention.dead),
            ):
                if kept is not None:
                    full |= erasure.expire(connection, states, now - kept, _MOST) == _MOST
            if retention.raw_messages is not None:
                old = now - retention.raw_messages
                full |= raw_messages.expire(connection, old, _MOST) == _MOST
            full |= erasure.free_keys(connection, now, _MOST) == _MOST
            full |= reusable_answers.expire(connection, now - _FORGET_QUESTION_US, _MOST) == _MOST
            job_counts.forget_ends(connection, now)
            progress.forget_silent(connection, now - _FORGET_PROCESS_US)
            chords.forget_sent(connection, now - _FORGET_CHORD_US)
        if not full:
            self._retained = time.monotonic()

    def _owe_again(self, mending: Any, lost_at: int, since: int) -> tuple[int, int]:
        told_before = lost_at + microseconds(TICK_SECONDS)
        self._erase_again(since)
        again, last = 0, ""
        while True:
            with self._ledger.write() as connection:
                count, seen = broker_loss.owe_again(
                    connection,
                    told_before=told_before,
                    told_after=max(since, lost_at - microseconds(self._result_expires)),
                    regulated_after=max(since, lost_at - REGULATED_EXPIRES_SECONDS * SECOND_US),
                    last_id=last,
                    most=_PAGE,
                )
            again += count
            mending.reacquire()
            if seen is None:
                break
            last = seen
        with self._ledger.write() as connection:
            return again, announcements.forget(connection, told_before, since)

    def _erase_again(self, since: int) -> None:
        """An older copy of the broker holds answers that were erased since."""
        if not since:
            return
        with self._ledger.read() as connection:
            gone = broker_loss.erased_since(connection, since)
        memory.forget_results(self._backend, gone)
