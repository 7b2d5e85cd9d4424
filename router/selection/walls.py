"""The walls of a policy around an item that was routed by another: may it be called as it was?"""

from tierqueue.router.item import TIERS, WorkItem
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Refusal, barred, bars

_WHO_SEES_IT = (
    *("tier", "engine", "model", "base_url", "boundary", "served_model"),
    *("simulated", "redact"),
)
"""Keys of a deployment that say where a payload goes, and what of it."""


def broken(
    policy: Policy, item: WorkItem, called: Deployment, bound: NanoUSD, tokens: int
) -> Refusal | None:
    """The wall of ``policy`` that a call of ``item`` at ``called`` breaks; ``None``: none.

    The item's demands are resolved by ``policy``; the call costs at most ``bound`` nano-dollars and
    takes at most so many ``tokens``. Prices, evidence and conditions choose among what is allowed,
    and are no walls.
    """
    name, demands = called.name, item.demands
    known = policy.deployments.get(name)
    if known is None:
        return Refusal(name, "deployment", "the policy has no such deployment")
    other = [key for key in _WHO_SEES_IT if getattr(known, key) != getattr(called, key)]
    if other:
        return Refusal(name, "deployment", f"the policy says another {other[0]} of it")
    if demands.sensitivity is None or demands.floor is None:
        raise ValueError(f"item {item.id}: its demands are not resolved")
    refusal = barred(known, item.task, demands.sensitivity)
    if bars(refusal, item.candidate):
        return refusal
    if item.candidate not in (None, name):
        return Refusal(name, "pinned", f"a shadow asks {item.candidate} alone")
    if TIERS.index(known.tier) < TIERS.index(demands.floor):
        return Refusal(name, "floor", f"{demands.floor} or better is needed")
    if tokens > known.context_window:
        why = f"up to {tokens} tokens do not fit its context window of {known.context_window}"
        return Refusal(name, "context_window", why)
    if item.images and not known.vision:
        return Refusal(name, "vision", "it takes no images, and the item has some")
    left = None if demands.max_cost is None else demands.max_cost - item.spent
    if left is not None and policy.counts(known) and bound > left:
        why = f"it can cost {format_usd(bound)} and {format_usd(NanoUSD(max(left, 0)))} is left"
        return Refusal(name, "max_cost", why)
    return None
