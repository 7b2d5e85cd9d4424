"""A process follows the policy in force: it checks whether another one was applied."""

import threading
from collections.abc import Callable

import structlog

from tierqueue.ledger.in_force import policies
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import TierqueueError
from tierqueue.tasks.installation import Installation
from tierqueue.tasks.routing.side_by_side import ROLL_OUT_US, Policies
from tierqueue.tasks.ticker import Ticker

_log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
"""Seconds between two checks."""


class PolicyFollower:
    """Checks from a thread of its own, from ``start`` to ``stop``.

    ``take`` makes the process go by other policies and raises ``TierqueueError`` where it cannot:
    it then goes on with its own, says so once, and tries no more until something else is applied.
    ``begin`` comes first.
    """

    def __init__(self, installation: Installation, take: Callable[[Policies], None]) -> None:
        self._installation = installation
        self._policies: Policies | None = None
        self._take = take
        self._refused: str | None = None
        self._checking = threading.Lock()
        self._ticker = Ticker("policy", self.check, EVERY_SECONDS)

    def begin(self) -> Policies:
        """What the process starts with: what was applied, else its file's policy.

        Raises ``InvalidPolicy``, also where what was in force a moment ago cannot be read.
        """
        with self._installation.ledger.read() as connection:
            since = database_now(connection) - ROLL_OUT_US
            found = policies.applied_since(connection, since)
        begun = Policies(
            self._installation.read_applied(found[0]) if found else self._installation.policy
        )
        for applied in found[1:]:
            begun = begun.followed_by(self._installation.read_applied(applied), applied.at)
        self._installation.policy, self._policies = begun.own, begun
        return begun

    def start(self) -> None:
        """Check now, and every second."""
        self._ticker.start()

    def stop(self) -> None:
        """End the thread after the check under way."""
        self._ticker.stop()

    def check(self) -> None:
        """Check once, and wait for a check that is under way; raises what the database raises."""
        with self._checking:
            self._check()

    def _check(self) -> None:
        before = self._policies
        assert before is not None
        with self._installation.ledger.ask() as connection:
            digest = policies.applied_digest(connection)
            if digest in (None, before.own.digest, self._refused):
                return
            applied = policies.applied(connection)
        assert applied is not None
        try:
            after = before.followed_by(self._installation.read_applied(applied), applied.at)
            self._take(after)
        except TierqueueError as error:
            self._refused = applied.digest
            _log.error("policy_not_taken", policy=applied.digest, why=error.message)
            return
        self._installation.policy, self._policies = after.own, after
        _log.info("policy_taken", policy=applied.digest, version=applied.id)
