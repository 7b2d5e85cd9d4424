"""Deployments that cannot serve, as the routing stage sees them: who waits, who takes over, who
is tried.
"""

from collections.abc import Mapping, Sequence

import structlog

from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle import reroutes
from tierqueue.ledger.lifecycle.routes import Ready
from tierqueue.ledger.session import Transaction
from tierqueue.router.condition import Condition
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy

_log = structlog.get_logger(__name__)

MOST = 2_000
"""Most items of one deployment sent back in one tick; the next takes the rest."""

SPARE = 10_000_000
"""Microseconds beyond its time limit after which a call on trial is given up."""

NOT_CALLED = 1_000_000
"""Microseconds until another item is tried where the one on trial was not called after all."""

Conditions = Mapping[str, Condition]


class Failover:
    """What one routing stage does about it, in the transaction of its look."""

    def __init__(self, policy: Policy, resend: int) -> None:
        self._policy = policy
        self._resend = resend
        self._away: frozenset[str] = frozenset()

    def held(self, known: Conditions, now: int) -> list[str]:
        """Deployments that not everybody may call ``now`` (epoch µs): their items stay routed."""
        return sorted(name for name, condition in known.items() if not condition.free(now))

    def tick(self, connection: Transaction, known: Conditions, now: int) -> int:
        """Once a tick, what they leave to do; returns how many items are to be routed anew."""
        self._end_trials(connection, known, now)
        return self._send_back(connection, known)

    def _send_back(self, connection: Transaction, known: Conditions) -> int:
        """Have the items of unavailable deployments routed anew where another could do them."""
        away = unavailable(known, self._policy)
        back = self._away - away
        self._away = away
        if back and away:
            reroutes.reconsider(connection, away)
        count = 0
        for name in sorted(away):
            deployment = self._policy.deployments[name]
            alone = not _stand_ins(deployment, self._policy, away)
            count += reroutes.send_back(
                connection, deployment.tier, name, MOST, fallbacks_only=alone
            )
        return count

    def _end_trials(self, connection: Transaction, known: Conditions, now: int) -> None:
        """Another may be tried where the item on trial was given back, ended or paused."""
        probes = {
            name: condition.probe
            for name, condition in known.items()
            if condition.probe is not None
        }
        for name in sorted(probes.keys() - conditions.under_way(connection, probes)):
            conditions.end_trial(connection, name, probes[name], now + NOT_CALLED)

    def trials(
        self, connection: Transaction, known: Conditions, now: int, paused: Sequence[Pause]
    ) -> list[Ready]:
        """Queue one item for each deployment that should be tried, to be sent by itself."""
        found: list[Ready] = []
        for name, condition in sorted(known.items()):
            deployment = self._policy.deployments.get(name)
            if deployment is None or not condition.wants_probe(now):
                continue
            again_at = now + self._resend
            item = reroutes.queue_for_trial(connection, deployment.tier, name, again_at, paused)
            if item is None:
                continue
            until = now + round(deployment.timeout * 1_000_000) + SPARE
            if conditions.put_on_trial(connection, name, item.id, now, until):
                _log.info("deployment_on_trial", deployment=name, code=condition.code, item=item.id)
            found.append(item)
        return found


def unavailable(known: Conditions, policy: Policy) -> frozenset[str]:
    """Deployments of the policy that another should take over from."""
    return frozenset(
        name
        for name, condition in known.items()
        if condition.unavailable and name in policy.deployments
    )


def _stand_ins(deployment: Deployment, policy: Policy, away: frozenset[str]) -> list[Deployment]:
    """Who could take over from ``deployment`` for some item."""
    return [
        other
        for other in policy.deployments.values()
        if other.name not in away | {deployment.name}
        and (other.tier, other.metered) == (deployment.tier, deployment.metered)
    ]
