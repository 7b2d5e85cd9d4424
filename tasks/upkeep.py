"""The tick's slower half: dead letters nobody announced, a broker that forgot, what has its time.

Runs beside the looking, on a thread of its own, in every routing stage; each part is safe to run
many times over and in many places at once.
"""

import threading
import time
import uuid

import structlog
from redis.exceptions import RedisError

from tierqueue.ledger import announcements, chords, erasure, progress, recall
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.session import unreachable
from tierqueue.router.lifecycle import State
from tierqueue.tasks import names
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.delivery import Delivery
from tierqueue.tasks.promises import REGULATED_EXPIRES

_log = structlog.get_logger(__name__)

TICK = 1.0
"""Seconds between two rounds."""

_LATE = 2_000_000
"""Microseconds after a dead letter's end in which its worker announces it without our help."""

_MOST = 500
_PAGE = 5_000
_SLOW = 30.0
"""Seconds between two rounds of what has time."""

_FORGET_PROCESS = 3_600_000_000
"""Microseconds without a heartbeat after which a process is no longer shown."""

_FORGET_CHORD = 7 * 86_400_000_000
"""Microseconds after which nobody tells a chord's last part again."""

_MENDING = 60
"""Seconds one stage may take for a page of mending before another begins."""


class Upkeep:
    """``run`` until ``stopping`` is set."""

    def __init__(self, app: TierqueueApp) -> None:
        self._app = app
        self._ledger = app.ledger
        self._delivery = Delivery(app)
        self._missed: int | None = None
        self._retained = -_SLOW

    def run(self, stopping: threading.Event) -> None:
        """One round a second; a part that fails stops no other."""
        self.round()
        while not stopping.wait(TICK):
            self.round()

    def round(self) -> None:
        """Do everything once."""
        for part in (self._announce, self._mend, self._retain):
            try:
                part()
            except Exception as error:  # noqa: BLE001 - the next tick tries again
                if unreachable(error) or isinstance(error, RedisError):
                    _log.warning("upkeep_waits", part=part.__name__, error=type(error).__name__)
                else:
                    _log.exception("upkeep_failed", part=part.__name__, error=type(error).__name__)

    def _announce(self) -> None:
        with self._ledger.read() as connection:
            before = database_now(connection) - _LATE
            letters = announcements.overdue(connection, before, _MOST)
        self._delivery.announce(letters)

    def _mend(self) -> None:
        """Notice by its missing epoch that the broker forgot everything, and tell it again.

        It is told a round after it was noticed: what was being told at the moment of the loss is
        in the ledger by then.
        """
        client = self._app.backend.client
        if client.exists(names.EPOCH):
            self._missed = None
            return
        if self._missed is None:
            with self._ledger.read() as connection:
                self._missed = database_now(connection)
            return
        mine = uuid.uuid4().hex
        if not client.set(names.MENDING, mine, nx=True, ex=_MENDING):
            return
        again, dead = self._owe_again(mine)
        client.set(names.EPOCH, mine, nx=True)
        client.delete(names.MENDING)
        self._missed = None
        if again or dead:
            _log.warning("broker_forgot", results_told_again=again, dead_letters_again=dead)

    def _retain(self) -> None:
        """Take away what has had its time; the books and receipts stay."""
        if time.monotonic() - self._retained < _SLOW:
            return
        retention = self._app.policy.retention
        full = False
        with self._ledger.write() as connection:
            now = database_now(connection)
            for states, kept in (
                ((State.SUCCEEDED, State.CANCELLED), retention.succeeded),
                ((State.DEAD,), retention.dead),
            ):
                if kept is not None:
                    full |= erasure.expire(connection, states, now - kept, _MOST) == _MOST
            full |= erasure.free_keys(connection, now, _MOST) == _MOST
            progress.forget_silent(connection, now - _FORGET_PROCESS)
            chords.forget_sent(connection, now - _FORGET_CHORD)
        if not full:
            self._retained = time.monotonic()

    def _owe_again(self, mine: str) -> tuple[int, int]:
        app = self._app
        lost_at = self._missed
        assert lost_at is not None
        told_before = lost_at + round(TICK * 1_000_000)
        again, last = 0, ""
        while True:
            with self._ledger.write() as connection:
                count, seen = recall.forget_told(
                    connection,
                    told_before=told_before,
                    told_after=lost_at - round(app.settings.result_expires * 1_000_000),
                    regulated_after=lost_at - REGULATED_EXPIRES * 1_000_000,
                    last_id=last,
                    most=_PAGE,
                )
            again += count
            app.backend.client.set(names.MENDING, mine, ex=_MENDING)
            if seen is None:
                break
            last = seen
        with self._ledger.write() as connection:
            return again, announcements.forget(connection, told_before)
