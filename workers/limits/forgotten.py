"""Calls in flight that Redis forgot: the ledger says whether there can be any."""

from collections.abc import Sequence

from tierqueue.ledger.lifecycle import leases
from tierqueue.ledger.session import Ledger
from tierqueue.workers.limits.limiter import TIER_FORGOTTEN, Bounds, Grant, Limiter, Want


def grant(ledger: Ledger, limiter: Limiter, bounds: Bounds, wanted: Sequence[Want]) -> Grant:
    """``Limiter.grant``, without a wait for calls in flight where no item is claimed.

    Raises ``SpendingRefused`` as that does.
    """
    granted = limiter.grant(bounds, wanted)
    if not granted.forgotten:
        return granted
    deployment = None if TIER_FORGOTTEN in granted.forgotten else bounds.deployment
    with ledger.read() as connection:
        if leases.claimed(connection, bounds.tier, deployment):
            return granted
    limiter.nothing_in_flight(bounds.deployment, bounds.tier, granted.forgotten)
    return limiter.grant(bounds, wanted)
