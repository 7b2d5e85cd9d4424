"""The bounds on a tier's calls in flight at once, and the smallest of them.

Three bounds hold together: what an operator or the policy says of the tier, what the pools of its
running workers let through, and ``in_flight`` of its deployments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tierqueue.ledger.in_force import tier_concurrency
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.monitoring.progress import Process
from tierqueue.ledger.session import Transaction, now
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.findings.finding import SILENT_SECONDS

Bound = Literal["tier", "workers", "deployments"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """One tier's bounds, in calls. ``workers`` counts its running processes; ``pools`` is what they
    let through together, ``None`` where one of them does not say; ``deployments`` is ``None`` where
    one of them has no bound.
    """

    tier: Tier
    stated: int
    said_by: Literal["operator", "policy"]
    workers: int
    pools: int | None
    deployments: int | None

    @property
    def in_force(self) -> int:
        """The calls that can be in flight now."""
        return min(calls for calls in self._bounds().values() if calls is not None)

    @property
    def bound_by(self) -> Bound:
        """Which of the bounds that is."""
        return next(name for name, calls in self._bounds().items() if calls == self.in_force)

    def _bounds(self) -> dict[Bound, int | None]:
        return {"tier": self.stated, "workers": self.pools, "deployments": self.deployments}


def all_tiers(connection: Transaction, policy: Policy) -> list[Concurrency]:
    """The bounds of every tier now, by the workers' last heartbeats."""
    stated = tier_concurrency.all_concurrency(connection)
    alive = [
        process
        for process in progress.living(connection, now(connection))
        if process.silent < SILENT_SECONDS
    ]
    return [
        _one(tier, policy, stated, [process for process in alive if process.tier == tier.value])
        for tier in TIERS
    ]


def _one(
    tier: Tier, policy: Policy, stated: Mapping[Tier, int], workers: list[Process]
) -> Concurrency:
    deployed = [deployment for deployment in policy.deployments.values() if deployment.tier is tier]
    return Concurrency(
        tier=tier,
        stated=stated.get(tier, policy.tiers[tier].concurrency),
        said_by="operator" if tier in stated else "policy",
        workers=len(workers),
        pools=_total(worker.detail.get("pool") for worker in workers),
        deployments=_total(deployment.limits.in_flight for deployment in deployed)
        if deployed
        else None,
    )


def _total(bounds: Iterable[int | None]) -> int | None:
    """The bounds together; ``None`` as soon as one is not bounded."""
    total = 0
    for bound in bounds:
        if bound is None:
            return None
        total += bound
    return total
