"""Batches: the provider's lower price for what may wait, and which items have the time for it."""

from tierqueue.router.item import Demands, Latency
from tierqueue.router.policy.duration import MICROSECONDS
from tierqueue.router.policy.prices import Duration, PositiveCount, Prices, Table

HOUR = 3_600 * MICROSECONDS

LEAST = 2 * HOUR
"""Microseconds an item must have left: half of all batches are done in minutes, some in hours."""

PROMOTED = HOUR * 3 // 4
"""Microseconds before its deadline at which an item that has no answer yet goes live."""

GIVEN_UP = HOUR // 6
"""Microseconds before its deadline at which it does so even where the provider has not confirmed
that the batch is cancelled: what the batch may cost is then booked, until it is known."""


class Batch(Table):
    """What a provider's batch API costs and takes. An item goes there by itself where it is not
    interactive and has two hours left until its deadline; where it has no answer three quarters of
    an hour before that, it goes live.
    """

    prices: Prices
    """The price list of requests in batches. Lists of live prices do not say it reliably, so that
    it is stated here."""

    requests: PositiveCount = 50_000
    """Most calls that one batch holds."""

    bytes: PositiveCount = 200_000_000
    """Most bytes of the file that a batch's calls stand in."""

    enqueued_tokens: PositiveCount | None = None
    """Most tokens in all batches that are not over; where nothing is stated, none is known."""

    collect: Duration = 5 * 60 * MICROSECONDS
    """How long items are collected; a batch that is full goes at once."""


def lane(demands: Demands, now: int, *, again: bool) -> tuple[bool, str]:
    """Whether an item goes in a batch where its deployment has them, and why.

    ``now`` in epoch microseconds; ``again``: it was in a batch before that came to nothing.
    """
    if again:
        return False, "live: its batch came to nothing"
    if demands.latency is Latency.INTERACTIVE:
        return False, "live, not in a batch: somebody waits for it"
    left = LEAST if demands.deadline is None else max(0, demands.deadline - now)
    told = f"{left // HOUR} h {left % HOUR // (60 * MICROSECONDS)} min are left until its deadline"
    if left < LEAST:
        return False, f"live, not in a batch: {told}, and a batch is given two hours"
    return True, f"in a batch, at the provider's lower price: {told}"
