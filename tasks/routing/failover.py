"""Deployments that cannot serve, as the routing stage sees them: who waits, who takes over, who
is tried.
"""

from collections.abc import Mapping, Sequence

import structlog

from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle import reroutes
from tierqueue.ledger.records import ReadyItem
from tierqueue.ledger.session import Transaction
from tierqueue.router.condition import Condition
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import SECOND_US, microseconds
from tierqueue.router.policy.policy import Policy

_log = structlog.get_logger(__name__)

MOST = 2_000
"""Most items of one deployment sent back in one tick; the next takes the rest."""

BORROWED = 64
"""Most items that wait elsewhere sent back in one tick, to find one that may be tried here."""

SPARE_US = 10 * SECOND_US
"""Microseconds beyond its time limit after which a call on trial is given up."""

NOT_CALLED_US = SECOND_US
"""Microseconds until another item is tried where the one on trial was not called after all."""

Conditions = Mapping[str, Condition]


class Failover:
    """What one routing stage does about it, in the transaction of its round."""

    def __init__(self, policy: Policy, resend_us: int) -> None:
        self._policy = policy
        self._resend_us = resend_us
        # Whatever serves at the start may have been away when this process was not there to see.
        self._away = frozenset(policy.deployments)
        self._ticked = False
        self._borrowed_to: dict[str, str] = {}

    def held(self, known: Conditions, now: int) -> list[str]:
        """Deployments that not everybody may call ``now`` (epoch µs): their items stay routed."""
        return sorted(name for name, condition in known.items() if not condition.free(now))

    def tick(self, connection: Transaction, known: Conditions, now: int) -> int:
        """Once a tick, what they leave to do; returns how many items are to be routed anew."""
        self._end_trials(connection, known, now)
        self._ticked = True
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
            if alone and known[name].code == "throttled":
                # No outage, and what waits with a throttled call does not fall.
                continue
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
            conditions.end_trial(connection, name, probes[name], now + NOT_CALLED_US)

    def trials(
        self, connection: Transaction, known: Conditions, now: int, paused: Sequence[Pause]
    ) -> list[ReadyItem]:
        """Queue one item for each deployment that should be tried, to be sent by itself."""
        found: list[ReadyItem] = []
        ticked, self._ticked = self._ticked, False
        for name, condition in sorted(known.items()):
            deployment = self._policy.deployments.get(name)
            if deployment is None or not condition.wants_probe(now):
                continue
            again_at = now + self._resend_us
            item = reroutes.queue_for_trial(connection, deployment.tier, name, again_at, paused)
            if item is None:
                if ticked:
                    self._borrow(connection, known, deployment, paused)
                continue
            until = now + microseconds(deployment.longest_call) + SPARE_US
            if conditions.put_on_trial(connection, name, item.id, now, until):
                _log.info("deployment_on_trial", deployment=name, code=condition.code, item=item.id)
            found.append(item)
        return found

    def _borrow(
        self,
        connection: Transaction,
        known: Conditions,
        deployment: Deployment,
        paused: Sequence[Pause],
    ) -> None:
        """Have some items routed anew that wait for others which cannot serve either.

        Nothing is routed to ``deployment``, so that without one of them nobody would ever see that
        it serves again. The choice lets one that may be called there through.
        """
        beside = unavailable(known, self._policy) - {deployment.name}
        beside &= {other.name for other in _peers(deployment, self._policy)}
        if deployment.name in unavailable(known, self._policy) and beside:
            last = self._borrowed_to.get(deployment.name, "")
            self._borrowed_to[deployment.name] = reroutes.borrow(
                connection, deployment.tier, beside, last, BORROWED, paused
            )


def unavailable(known: Conditions, policy: Policy) -> frozenset[str]:
    """Deployments of the policy that another should take over from."""
    return frozenset(
        name
        for name, condition in known.items()
        if condition.unavailable and name in policy.deployments
    )


def _stand_ins(deployment: Deployment, policy: Policy, away: frozenset[str]) -> list[Deployment]:
    """Who could take over from ``deployment`` for some item."""
    return [other for other in _peers(deployment, policy) if other.name not in away]


def _peers(deployment: Deployment, policy: Policy) -> list[Deployment]:
    """The others of its tier that are paid as it is."""
    return [
        other
        for other in policy.deployments.values()
        if other is not deployment
        and (other.tier, other.metered) == (deployment.tier, deployment.metered)
    ]
