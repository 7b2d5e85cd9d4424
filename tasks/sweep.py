"""The tick: what was lost on the way is found again, by any routing stage, in the ledger."""

import random
import time
from collections.abc import Callable

import structlog

from tierqueue.ledger import claims, promises, routes, settlements
from tierqueue.ledger.items import die
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.settlements import Settlement
from tierqueue.router.item import Tier
from tierqueue.router.policy import Policy
from tierqueue.tasks.alarm import Alarm
from tierqueue.tasks.delivery import Delivery
from tierqueue.tasks.settle import Attempt, lost, lost_astray
from tierqueue.tasks.slices import Slice, cut

_log = structlog.get_logger(__name__)

MOST = 500
"""Most rows one sweep takes of each kind; the next takes the rest."""

LOOKED_AT = 2_000
"""Promises not kept that one sweep looks through; the next goes on from there."""

OVERDUE = 2_000_000
"""Microseconds after an item's end in which its worker keeps its promises without our help."""


class Sweep:
    """Finds ended leases, unclaimed slices, passed deadlines, promises not kept, and what
    ceilings have to warn of.

    ``resend``: microseconds a slice may stay unclaimed, two leases. When the ledger was away nobody
    could renew a lease: its workers then get half a lease to say that they live.
    ``resent``: how many items it has sent again so far.
    """

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        send: Callable[[Tier, Slice], None],
        delivery: Delivery,
        resend: int,
        checkpoint: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._send = send
        self._delivery = delivery
        self._resend = resend
        self._checkpoint = checkpoint
        self._grace = resend / 4_000_000
        self._away_since = self._sparing_until = 0.0
        self._alarm = Alarm(ledger, policy).look
        self._looked_to = ""
        self.resent = 0

    def __call__(self) -> None:
        """Sweep once; a part that fails stops no other. Raises what says the ledger is away."""
        for part in (self._late, self._lapsed, self._unclaimed, self._overdue, self._alarm):
            try:
                part()
            except Exception as error:
                if unreachable(error):
                    self._away_since = self._away_since or time.monotonic()
                    raise
                _log.exception("sweep_failed", part=part.__name__, error=type(error).__name__)
            else:
                self._back()

    def _back(self) -> None:
        """The ledger answers; if it was away for long, workers are given time to renew."""
        if self._away_since and time.monotonic() - self._away_since > self._grace:
            self._sparing_until = time.monotonic() + self._grace
        self._away_since = 0.0

    def _lapsed(self) -> None:
        self._checkpoint("before_sweep")
        if time.monotonic() < self._sparing_until:
            return
        with self._ledger.write() as connection:
            now = database_now(connection)
            found = claims.lapsed(connection, now, MOST)
            # Of all that a worker held, what was lost most often before is what may have killed
            # it; fresh neighbours of a suspect are not made suspects by it.
            most = claims.most_lost(connection, {attempt.worker for _, attempt in found})
            settled: list[Settlement] = []
            for item, attempt in found:
                blamed = item.lost_claims >= most.get(attempt.worker, 0)
                known = self._policy.deployments.get(attempt.deployment)
                if known is None:
                    _log.error("deployment_unknown", item=item.id, deployment=attempt.deployment)
                    draw = random.random()  # noqa: S311 - spreads retries, guards nothing
                    settled.append(lost_astray(item, attempt, self._policy, draw, blamed=blamed))
                    continue
                settled.append(
                    lost(
                        Attempt(
                            item=item,
                            fence=item.fence,
                            held=attempt.held,
                            balances=tuple(attempt.balances),
                            started_at=attempt.started_at,
                            deployment=known,
                            prompt_version="",
                            now=now,
                            draw=random.random(),  # noqa: S311 - spreads retries, guards nothing
                        ),
                        self._policy,
                        cancel_requested=item.cancel_requested,
                        blamed=blamed,
                    )
                )
            ready = settlements.prepare(self._ledger.dialect, settled, now)
            ended = settlements.settle(connection, ready).ended
            owed = promises.unkept(connection, [each.item_id for each in ended])
        self._checkpoint("after_sweep")
        for item, attempt in found:
            _log.warning("lease_ended", item=item.id, fence=item.fence, worker=attempt.worker)
        self._delivery.ended(ended, owed)

    def _late(self) -> None:
        with self._ledger.write() as connection:
            now = database_now(connection)
            rows = routes.past_deadline(connection, now, MOST)
            deaths = [claims.expired(row.id, row.deadline, now) for row in rows]
            ended = die(connection, deaths, now)
            owed = promises.unkept(connection, [each.item_id for each in ended])
        self._delivery.ended(ended, owed)

    def _unclaimed(self) -> None:
        with self._ledger.write() as connection:
            now = database_now(connection)
            found = routes.unclaimed(connection, now, now + self._resend, MOST)
        self.resent += len(found)
        for tier in {tier for tier, _ in found}:
            size = self._policy.tiers[Tier(tier)].slice
            for each in cut((ready for at, ready in found if at == tier), size):
                self._send(Tier(tier), each)

    def _overdue(self) -> None:
        with self._ledger.read() as connection:
            before = database_now(connection) - OVERDUE
            owed, self._looked_to = promises.overdue(connection, before, LOOKED_AT, self._looked_to)
        self._delivery.keep(owed)
