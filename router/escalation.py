"""After an answer that validation refused: the next tier, or the end."""

from tierqueue.router.item import TIERS, Tier
from tierqueue.router.policy.policy import Policy


def rank_after(refused_by: tuple[Tier, ...]) -> int:
    """The lowest rank in ``TIERS`` that may try next: one above the highest that was refused.

    ``len(TIERS)`` says that no tier is left.
    """
    return max((TIERS.index(tier) + 1 for tier in refused_by), default=0)


def after_rejection(refused_by: tuple[Tier, ...], policy: Policy) -> Tier | None:
    """The next tier above every one in ``refused_by`` that the policy has a deployment for.

    Each tier is asked once. ``None`` is the end: a dead letter with the reason ``rejected``.
    """
    served = {deployment.tier for deployment in policy.deployments.values()}
    return next((tier for tier in TIERS[rank_after(refused_by) :] if tier in served), None)
