"""Names that travel: queues, control tasks, and the variables of the environment."""

from tierqueue.router.item import Tier

ROUTE = "route"
"""The queue of the routing stage: wakes, and calls by name."""

WAKE = "tierqueue.wake"
"""A message that says "look" and carries nothing."""

AWAKE = "tierqueue:awake"
"""A key at the broker: a routing stage is looking, and no wake would change anything."""

EPOCH = "tierqueue:epoch"
"""A key at the broker: gone, the broker has forgotten everything else too."""

BEAT = "tierqueue:beat"
"""A key at the broker: the ledger's time (epoch µs) when a routing stage last looked in. It only
grows: smaller than it was, the broker has come back from an older copy of itself."""

MENDING = "tierqueue:mending"
"""A key at the broker: somebody is telling it again what it forgot."""

SLICE = "tierqueue.slice"
"""A message that names 1..K items of one deployment."""

DEAD = "tierqueue.dead_letter"
"""A message that names one dead letter and its reason, on the queue of its tier."""


def tier_queue(tier: Tier) -> str:
    """The queue that feeds a tier's workers."""
    return tier.value


def dead_queue(tier: Tier | None) -> str:
    """The queue on which a tier's dead letters are announced; ``None``: never routed."""
    return f"dead.{tier.value if tier else ROUTE}"
