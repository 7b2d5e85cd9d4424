"""After an answer that was refused, or a request too large: who may try next, or the end."""

from collections.abc import Mapping
from dataclasses import dataclass

from tierqueue.router.item import TIERS, Sensitivity, Tier
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import barred

TOO_SMALL = frozenset({"context_window", "too_large"})
"""Reasons that are of the item's size and of the deployment's."""

UNFIT = TOO_SMALL | {"grammar"}
"""Reasons that are of the item and of the deployment: its size, or the form of its answer, which
the grammar of one engine cannot hold and that of another may."""


def rank_after(refused_by: tuple[Tier, ...]) -> int:
    """The lowest rank in ``TIERS`` that may try next: one above the highest that was refused.

    ``len(TIERS)`` says that no tier is left.
    """
    return max((TIERS.index(tier) + 1 for tier in refused_by), default=0)


def after_rejection(
    refused_by: tuple[Tier, ...], policy: Policy, task: str, sensitivity: Sensitivity
) -> Tier | None:
    """The next tier above every one in ``refused_by`` with a deployment that may do such an item.

    Each tier is asked once. ``None`` is the end: a dead letter with the reason of the refusal.
    """
    served = {
        deployment.tier
        for deployment in policy.deployments.values()
        if barred(deployment, task, sensitivity) is None
    }
    return next((tier for tier in TIERS[rank_after(refused_by) :] if tier in served), None)


def rank_beside(too_small: Mapping[str, str], policy: Policy) -> int:
    """The lowest rank in ``TIERS`` that may try what these deployments were too small for."""
    found = (policy.deployments[name].tier for name in too_small if name in policy.deployments)
    return max(map(TIERS.index, found), default=0)


def too_small_too(
    deployment: Deployment, too_small: Mapping[str, str], policy: Policy
) -> str | None:
    """Why ``deployment`` need not be tried where others were ``too_small``; ``None``: it may do.

    ``too_small``: by name, one of ``UNFIT``, as their providers or engines said. Beside one of them
    may stand, of its tier, who is on the same side of the house's boundary and, for the context
    window, states a larger one.
    """
    if (reason := too_small.get(deployment.name)) is not None:
        if reason == "grammar":
            return "its grammar cannot hold the form of the answer"
        return "its provider refused the item: too many tokens"
    for name, why in too_small.items():
        other = policy.deployments.get(name)
        if other is None or other.tier is not deployment.tier:
            continue
        if (other.boundary == "house") != (deployment.boundary == "house"):
            return f"it is across the house's boundary from {name}, which was too small"
        if why == "context_window" and deployment.context_window <= other.context_window:
            return f"its context window is no larger than that of {name}, which was too small"
    return None


def all_too_small(too_small: Mapping[str, str], policy: Policy) -> dict[str, str]:
    """The deployments that need not be tried, by name, with why."""
    if not too_small:
        return {}
    found = {
        name: too_small_too(deployment, too_small, policy)
        for name, deployment in policy.deployments.items()
    }
    return {name: why for name, why in found.items() if why is not None}


@dataclass(frozen=True, slots=True)
class Escalation:
    """Where an item goes on that a deployment could not do: ``reason`` is the item's, ``too_small``
    and ``refused_by`` are what it is to remember.
    """

    reason: str
    too_small: Mapping[str, str] | None = None
    refused_by: tuple[Tier, ...] | None = None


def onward(
    at: Deployment,
    reason: str,
    refused_by: tuple[Tier, ...],
    too_small: Mapping[str, str],
    policy: Policy,
    *,
    task: str,
    sensitivity: Sensitivity,
    may_climb: bool,
) -> Escalation | None:
    """Who may try next what ``at`` could not do for this ``reason``; ``None``: nobody.

    What did not fit it goes to another of its tier first, anything else a tier up.
    ``refused_by`` and ``too_small`` are what the item remembers so far.
    """
    more: Mapping[str, str] | None = None
    if reason in UNFIT:
        more = {**too_small, at.name: reason}
        beside = (
            deployment
            for deployment in policy.deployments.values()
            if deployment.tier is at.tier and barred(deployment, task, sensitivity) is None
        )
        # Routed to it again, by a routing stage that does not know of this, it goes up.
        new = at.name not in too_small
        if new and any(too_small_too(deployment, more, policy) is None for deployment in beside):
            return Escalation(reason, more)
    refused_by = (*refused_by, at.tier)
    if not may_climb or after_rejection(refused_by, policy, task, sensitivity) is None:
        return None
    return Escalation("escalated", more, refused_by)
