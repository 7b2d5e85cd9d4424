"""Calls that Redis forgot, restored from the ledger: the limiter counts them again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tierqueue.ledger.in_force import learned_limits
from tierqueue.ledger.lifecycle import leases
from tierqueue.ledger.monitoring import recent_calls
from tierqueue.ledger.monitoring.recent_calls import RecentCall
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.item import Tier
from tierqueue.router.policy.duration import SECOND_US, microseconds
from tierqueue.workers.limits.bounds import (
    FORGOTTEN,
    RATE_FORGOTTEN,
    TIER_FORGOTTEN,
    Bounds,
    Grant,
    SlotRequest,
)
from tierqueue.workers.limits.limiter import Limiter
from tierqueue.workers.limits.operator_limits import StatedLimits
from tierqueue.workers.limits.rates import SharedRates
from tierqueue.workers.limits.scripts import WindowEntry


def grant(ledger: Ledger, limiter: Limiter, bounds: Bounds, wanted: Sequence[SlotRequest]) -> Grant:
    """``Limiter.grant``, without a wait for what the ledger knows never to have been.

    Raises ``SpendingRefused`` as that does.
    """
    granted = limiter.grant(bounds, wanted)
    if not granted.forgotten:
        return granted
    if (unsure := _unsure(ledger, limiter, bounds)) > 0:
        return replace(granted, retry_after=min(granted.retry_after, unsure))
    asked_again = _restore_calls(ledger, limiter, bounds, granted)
    if RATE_FORGOTTEN in granted.forgotten:
        until = granted.forgotten_until
        asked_again |= _restore_rates(ledger, limiter, bounds, granted, until)
    for shared, until in zip(bounds.shared, granted.shared_until, strict=False):
        if shared.forgotten in granted.forgotten:
            asked_again |= _restore_shared(ledger, limiter, bounds, shared)
        if until:
            asked_again |= _restore_rates(ledger, limiter, bounds, granted, until, shared)
    return limiter.grant(bounds, wanted) if asked_again else granted


def _unsure(ledger: Ledger, limiter: Limiter, bounds: Bounds) -> float:
    """Seconds for which a worker that has not heard yet what was set may still have calls claimed
    that are counted nowhere.
    """
    since = max(bounds.since, *(one.since for one in bounds.shared), 0)
    if not since:
        return 0.0
    with ledger.read() as connection:
        heard = since / SECOND_US + StatedLimits.EVERY + limiter.travel
        return heard - database_now(connection) / SECOND_US


def _restore_calls(ledger: Ledger, limiter: Limiter, bounds: Bounds, granted: Grant) -> bool:
    forgotten = granted.forgotten & {FORGOTTEN, TIER_FORGOTTEN}
    if not forgotten:
        return False
    deployment = None if TIER_FORGOTTEN in forgotten else bounds.deployment
    with ledger.read() as connection:
        if leases.claimed(connection, bounds.tier, deployment):
            return False
    limiter.nothing_in_flight(bounds.deployment, bounds.tier, forgotten)
    return True


def _restore_shared(ledger: Ledger, limiter: Limiter, bounds: Bounds, shared: SharedRates) -> bool:
    """The same of what calls share with those of other deployments, or of a budget."""
    if shared.in_flight is None:
        return False
    with ledger.read() as connection:
        if leases.any_claimed(connection, shared.deployments, shared.budget):
            return False
    limiter.nothing_in_flight(bounds.deployment, bounds.tier, (), [shared.key])
    return True


def _restore_rates(
    ledger: Ledger,
    limiter: Limiter,
    bounds: Bounds,
    granted: Grant,
    until: int,
    shared: SharedRates | None = None,
) -> bool:
    """Whether the windows were filled from the ledger: the deployment's, or shared ones; what was
    learned is, in any case.

    Where calls were made within them, others may have been granted and not claimed yet: those are
    waited for first.
    """
    scope = bounds if shared is None else shared
    minute = limiter.travel + scope.call + limiter.minute
    days = scope.requests_per_day is not None
    with ledger.read() as connection:
        now = database_now(connection)
        since = now - microseconds(limiter.travel + limiter.day if days else minute)
        if shared is None:
            calls = recent_calls.since(connection, Tier(bounds.tier), bounds.deployment, since)
            learned = learned_limits.all_learned(connection, bounds.deployment)
        else:
            calls = recent_calls.all_since(connection, shared.deployments, shared.budget, since)
    if shared is None:
        limiter.learned.remember(bounds.deployment, learned, now)
    if granted.at < until and any(now - call.started_at < minute * SECOND_US for call in calls):
        return False
    entries = [entry for call in calls for entry in _entries(limiter, scope, call, now, days)]
    limiter.restore(bounds, until, entries, days, shared)
    return True


def _entries(
    limiter: Limiter, scope: Bounds | SharedRates, call: RecentCall, now: int, days: bool
) -> Iterator[WindowEntry]:
    """What one call still counts for: it arrived while it ran, and soon after it was claimed."""
    age = (now - call.started_at) / SECOND_US
    ended = (
        age - limiter.travel - scope.call
        if call.ended_at is None
        else (now - call.ended_at) / SECOND_US
    )
    arrived = max(age - limiter.travel, ended)
    if limiter.minute > arrived:
        yield WindowEntry("p", limiter.minute - arrived, 1, call.input, 0)
    if limiter.minute > ended:
        yield WindowEntry("p", limiter.minute - ended, 0, 0, call.output)
    if days:
        yield WindowEntry("d", limiter.day - arrived, 1, 0, 0)
