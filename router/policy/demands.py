"""An item's demands, completed: its own, then its task type's defaults, then the policy's."""

from tierqueue.router.item import TIERS, Demands, Fallback, Latency, Risk, Sensitivity, Tier
from tierqueue.router.policy.defaults import (
    DEFAULT_BUDGET,
    DEFAULT_DEADLINE_US,
    TaskDefaults,
    floor_of,
)
from tierqueue.router.policy.policy import Policy

_NOTHING_STATED = TaskDefaults()


def resolve(demands: Demands, task: str, policy: Policy, now: int) -> Demands:
    """``demands`` with every default applied; ``now`` and the deadline in epoch microseconds.

    The item's own value wins, then its task type's, then the policy's. What nobody states is the
    strictest: regulated, auto-applied. The floor is the highest of the item's and every matching
    rule's, and a fallback to a tier below it is none; ``max_cost`` alone may stay ``None``.
    """
    usual = policy.tasks.get(task) or _NOTHING_STATED
    risk = demands.risk or usual.risk or Risk.AUTO_APPLIED
    floor = floor_of(demands, risk, task, usual, policy.floors)
    sensitivity = demands.sensitivity or usual.sensitivity or policy.default_sensitivity
    deadline = demands.deadline
    return Demands(
        risk=risk,
        sensitivity=sensitivity or Sensitivity.REGULATED,
        latency=demands.latency or usual.latency or Latency.BACKGROUND,
        deadline=now + (usual.deadline or DEFAULT_DEADLINE_US) if deadline is None else deadline,
        max_cost=usual.max_cost if demands.max_cost is None else demands.max_cost,
        floor=floor,
        budget=demands.budget or usual.budget or DEFAULT_BUDGET,
        fallback=Fallback(
            on_ceiling=_at_least(floor, demands.fallback.on_ceiling or usual.on_ceiling),
            on_throttle=_at_least(floor, demands.fallback.on_throttle or usual.on_throttle),
            on_outage=_at_least(floor, demands.fallback.on_outage or usual.on_outage),
        ),
    )


def _at_least(floor: Tier, tier: Tier | None) -> Tier | None:
    """The tier, unless it is below the floor: then what would have fallen to it waits."""
    return None if tier is None or TIERS.index(tier) < TIERS.index(floor) else tier
