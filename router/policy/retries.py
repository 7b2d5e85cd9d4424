"""The policy of retries: calls, backoff, and a call that may have been billed for nothing."""

from typing import Literal

from tierqueue.router.policy.prices import PositiveCount, Seconds, Table


class RetryPolicy(Table):
    """When work is tried again."""

    calls: PositiveCount = 4
    """Most calls over an item's life, over all tiers."""

    base: Seconds = 1.0
    """Seconds of the first backoff, which doubles from call to call; a wait is a random part
    of it."""

    cap: Seconds = 60.0
    """Most seconds of backoff."""

    poison: PositiveCount = 3
    """Claims lost with their workers at which an item dies as ``poison``."""

    unknown: Literal["dead_letter", "retry_outage", "retry"] = "retry_outage"
    """What becomes of an item whose paid call may have been billed and brought no answer.

    ``retry_outage``: another call is paid for where the provider lost the reply, and none where we
    ended the call (its time was up while others were served, its worker was lost or drained).
    ``retry``: in each case. ``dead_letter``: in none."""
