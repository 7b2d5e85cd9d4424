"""Expiry: leases of silent workers, deadlines that passed, and those that batches would miss.

It asks the ledger alone, on a thread of its own: a broker that takes connections and says nothing
holds up no recovery.
"""

import random
import time
from collections.abc import Callable, Mapping

import structlog

from tierqueue.ledger.evaluation import reviews
from tierqueue.ledger.lifecycle import batches, leases, settlements
from tierqueue.ledger.lifecycle.deaths import end_overdue
from tierqueue.ledger.lifecycle.leases import LapsedLease
from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.settle.lost import given_up, lost
from tierqueue.workers.process.checkpoint import Checkpoint

_log = structlog.get_logger(__name__)

MOST = 500
"""Most rows one tick takes of each kind; the next takes the rest."""


class Expiry:
    """Ends leases and deadlines that have passed, at each ``tick``.

    When the ledger was away nobody could renew a lease: workers then get half of ``lease_seconds``
    to say that they live. ``ended`` is told once anything found here is committed: what
    came to its end, and nothing where it is only ready again.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        policy: Policy,
        lease_seconds: float,
        ended: Callable[[Ends], None],
        checkpoint: Checkpoint,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._grace_seconds = lease_seconds / 2
        self._ended = ended
        self._checkpoint = checkpoint
        self._away_since = self._sparing_until = 0.0

    def use(self, policy: Policy) -> None:
        """Go by another policy."""
        self._policy = policy

    def tick(self) -> None:
        """One tick: a part that fails stops no other, and nothing is raised."""
        # Deadlines first: their answer says that the ledger is back before a lease is ended.
        for part in (self._deadlines, self._leases, self._batches, self._reviews):
            try:
                part()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next tick tries again
                if unreachable(error):
                    self._away_since = self._away_since or time.monotonic()
                    _log.warning("ledger_unreachable", error=type(error).__name__)
                    return
                _log.exception("expiry_failed", part=part.__name__, error=type(error).__name__)
            self._back()

    def _back(self) -> None:
        """The ledger answers; if it was away for long, workers are given time to renew."""
        if self._away_since and time.monotonic() - self._away_since > self._grace_seconds:
            self._sparing_until = time.monotonic() + self._grace_seconds
        self._away_since = 0.0

    def _leases(self) -> None:
        self._checkpoint("before_expiry")
        if time.monotonic() < self._sparing_until:
            return
        with self._ledger.write() as connection:
            now = database_now(connection)
            found = leases.lapsed(connection, now, MOST)
            # Of all that a worker held, what was lost most often before is what may have killed
            # it; fresh neighbours of a suspect are not made suspects by it.
            most = leases.most_lost(connection, {attempt.worker for _, attempt in found})
            settled = [self._lost(lapsed, now, most) for lapsed in found]
            ready = settlements.prepare(self._ledger.dialect, settled, now)
            ends = settlements.settle(connection, ready).ends
        self._checkpoint("after_expiry")
        for item, attempt in found:
            _log.warning("lease_ended", item=item.id, fence=item.fence, worker=attempt.worker)
        if found:
            self._ended(ends)

    def _lost(self, lapsed: LapsedLease, now: int, most: Mapping[str, int]) -> Settlement:
        item, attempt = lapsed
        deployment = self._policy.deployments.get(attempt.deployment)
        if deployment is None:
            _log.error("deployment_unknown", item=item.id, deployment=attempt.deployment)
        draw = random.random()  # noqa: S311 - spreads retries, guards nothing
        blamed = item.lost_claims >= most.get(attempt.worker, 0)
        return lost(lapsed, deployment, self._policy, now, draw, blamed=blamed)

    def _deadlines(self) -> None:
        with self._ledger.write() as connection:
            now = database_now(connection)
            ends = end_overdue(connection, now, MOST)
        if ends.ended:
            self._ended(ends)

    def _reviews(self) -> None:
        with self._ledger.write() as connection:
            ends = reviews.end_overdue(connection, database_now(connection), MOST)
        for ending in ends.ended:
            _log.error("review_overdue", item=ending.item_id)
        if ends.ended:
            self._ended(ends)

    def _batches(self) -> None:
        found, ends = give_up(self._ledger, self._policy, self._ledger.now())
        for item, attempt in found:
            _log.warning("batch_given_up", item=item.id, fence=attempt.fence)
        if found:
            self._ended(ends)


def give_up(ledger: Ledger, policy: Policy, now: int) -> tuple[list[LapsedLease], Ends]:
    """Have items in batches go live whose deadline is too close ``now`` (epoch microseconds).

    Returns them, and the ends of those that somebody has cancelled.
    """
    with ledger.write() as connection:
        found = batches.overdue(connection, now, MOST)
        settled = [
            given_up(late, policy.deployments.get(late.attempt.deployment), policy)
            for late in found
        ]
        ready = settlements.prepare(ledger.dialect, settled, now)
        ends = settlements.settle(connection, ready).ends
        batches.go_live(connection, [late.item.id for late in found])
    return found, ends
