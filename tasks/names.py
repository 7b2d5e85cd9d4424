"""Names that travel: queues, control tasks, and the variables of the environment."""

from tierqueue.router.item import Tier

ROUTE = "route"
"""The queue of the routing stage: wakes, and calls by name."""

WAKE = "tierqueue.wake"
"""A message that says "look" and carries nothing."""

SLICE = "tierqueue.slice"
"""A message that names 1..K items of one deployment."""


def tier_queue(tier: Tier) -> str:
    """The queue that feeds a tier's workers."""
    return tier.value


def dead_queue(tier: Tier | None) -> str:
    """The queue on which a tier's dead letters are announced; ``None``: never routed."""
    return f"dead.{tier.value if tier else ROUTE}"
