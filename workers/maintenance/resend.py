"""Recovery of what was lost on the way: any routing stage finds it again in the ledger."""

from collections.abc import Callable

import structlog

from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.results import promises
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.router.item import Tier
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.broker.slices import Slice, cut
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.workers.alerts.ceilings import Alarm

_log = structlog.get_logger(__name__)

MOST = 500
"""Most rows one sweep takes of each kind; the next takes the rest."""

CHECKED_AT_ONCE = 2_000
"""Promises not kept that one sweep checks; the next goes on from there."""

OVERDUE_US = 2 * SECOND_US
"""Microseconds after an item's end in which its worker keeps its promises without our help."""


class Sweep:
    """Finds unclaimed slices, promises not kept, and what ceilings have to warn of.

    ``resend_us``: microseconds a slice may stay unclaimed. ``resent``: how many items it has sent
    again so far.
    """

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        send: Callable[[Tier, Slice], None],
        delivery: Delivery,
        resend_us: int,
    ) -> None:
        self._ledger = ledger
        self._send = send
        self._delivery = delivery
        self._resend_us = resend_us
        self.use(policy)
        self._checked_to = ""
        self.resent = 0

    def use(self, policy: Policy) -> None:
        """Go by another policy."""
        self._policy = policy
        self._alarm = Alarm(self._ledger, policy).tick

    def __call__(self) -> None:
        """Sweep once; a part that fails stops no other. Raises what says the ledger is away."""
        for part in (self._unclaimed, self._overdue, self._alarm):
            try:
                part()
            except Exception as error:
                if unreachable(error):
                    raise
                _log.exception("sweep_failed", part=part.__name__, error=type(error).__name__)

    def _unclaimed(self) -> None:
        with self._ledger.write() as connection:
            now = database_now(connection)
            found = routes.unclaimed(connection, now, now + self._resend_us, MOST)
        self.resent += len(found)
        for tier in {ready.tier for ready in found}:
            size = self._policy.tiers[Tier(tier)].slice
            for slice_ in cut((ready for ready in found if ready.tier == tier), size):
                self._send(Tier(tier), slice_)

    def _overdue(self) -> None:
        with self._ledger.read() as connection:
            before = database_now(connection) - OVERDUE_US
            owed, self._checked_to = promises.overdue(
                connection, before, CHECKED_AT_ONCE, self._checked_to
            )
        self._delivery.fulfil(owed)
