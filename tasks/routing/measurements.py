"""Measurements that routing goes by: how answers did so far, and what is ahead in each tier."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tierqueue.ledger.in_force import (
    call_seconds,
    evidence,
    observations,
    stated_limits,
    tier_concurrency,
)
from tierqueue.ledger.monitoring import progress, queue_depths
from tierqueue.ledger.session import Transaction
from tierqueue.router.choose import Conditions
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.policy.policy import Policy
from tierqueue.router.selection.call_seconds import ByTask
from tierqueue.router.selection.evidence import ByDeployment
from tierqueue.router.selection.fitting import Queue
from tierqueue.tasks.findings.finding import ready_tiers


@dataclass(frozen=True, slots=True)
class Measurements:
    """What the ledger knows of answers, by task type and deployment, and of each tier's queue.

    ``silent`` are deployments whose servers refuse log-probabilities; ``limits`` are those that
    operators set, by deployment and name; ``call_seconds`` is of those that are paid by the hour,
    where the policy counts them.
    """

    evidence: Mapping[str, ByDeployment] = field(default_factory=dict)
    queues: Mapping[Tier, Queue] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    call_seconds: ByTask = field(default_factory=dict)

    def conditions(self, now: int) -> Conditions:
        """What the router is told of it ``now`` (epoch microseconds), of no deployment away."""
        return Conditions(
            now=now,
            evidence=self.evidence,
            queues=self.queues,
            silent=self.silent,
            limits=self.limits,
            call_seconds=self.call_seconds,
        )


NOTHING_MEASURED = Measurements()


def measure(connection: Transaction, policy: Policy, now: int) -> Measurements:
    """What is known ``now`` (epoch microseconds); of queues nothing where none changes a route."""
    silent = observations.silent(connection, policy.deployments, now)
    limits = stated_limits.all_set(connection)
    seconds = call_seconds.by_task(connection) if policy.ceilings_count == "everything" else {}
    known, within = evidence.by_task(connection), policy.interactive_within
    if not known and not within:
        return Measurements(silent=silent, limits=limits, call_seconds=seconds)
    in_force = tier_concurrency.all_concurrency(connection)
    ahead = queue_depths.ahead(connection)
    ready = ready_tiers(progress.living(connection, now)) if within else set(TIERS)
    queues = {
        tier: Queue(
            ahead[tier].items,
            in_force.get(tier, policy.tiers[tier].concurrency),
            ahead[tier].urgent,
            tier in ready,
        )
        for tier in TIERS
    }
    return Measurements(known, queues, silent, limits, seconds)
