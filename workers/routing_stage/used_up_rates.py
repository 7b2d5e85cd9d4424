"""Rates that are used up: no more than a slice of such a deployment's items goes around.

All of what they have would go to the workers otherwise and come back refused, again and again, at
the cost of those who could be called. The rest stays routed.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence

from tierqueue.ledger.lifecycle.flows import Flow
from tierqueue.ledger.monitoring import rate_waits
from tierqueue.ledger.records import ReadyItem
from tierqueue.ledger.session import Transaction
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.policy import Policy

LASTS_US = 5 * SECOND_US
"""Microseconds for which a rate counts as used up after an item was last seen to wait for it."""

LATELY_US = SECOND_US
"""Microseconds after which what was sent is called, waits, or is with a worker that was lost."""

FEWEST = 16
"""Items of such a deployment that go around at the least."""

Take = Callable[[Mapping[str, int]], list[ReadyItem]]


class UsedUpRates:
    """What one routing stage has seen of it, and has sent."""

    def __init__(self, policy: Policy) -> None:
        self._most = {
            name: max(FEWEST, policy.tiers[deployment.tier].slice)
            for name, deployment in policy.deployments.items()
        }
        self._until: dict[str, int] = {}
        self._sent: defaultdict[str, deque[int]] = defaultdict(deque)

    def headroom(self, connection: Transaction, now: int, *, any_waits: bool) -> dict[str, int]:
        """How many more items may be sent of each deployment whose rate is used up ``now`` (epoch
        µs); ``any_waits``: whether any item at all waits for its time.
        """
        waiting = rate_waits.by_deployment(connection, now) if any_waits else {}
        self._until = {name: until for name, until in self._until.items() if until > now}
        self._until |= {name: now + LASTS_US for name in waiting if name in self._most}
        return {
            name: max(0, self._most[name] - waiting.get(name, 0) - self._sent_lately(name, now))
            for name in self._until
        }

    def bounded(self, take: Take, flows: Sequence[Flow], few: dict[str, int], now: int) -> Take:
        """``take``, of each deployment in ``few`` at most so many together, which it counts off."""
        deployment_of = {flow.name: flow.deployment for flow in flows}

        def taken(wanted: Mapping[str, int]) -> list[ReadyItem]:
            left, some = dict(few), dict(wanted)
            for name in wanted:
                deployment = deployment_of.get(name)
                if deployment is not None and deployment in left:
                    some[name] = min(some[name], left[deployment])
                    left[deployment] -= some[name]
            found = take({name: count for name, count in some.items() if count})
            for ready in found:
                if ready.deployment in few:
                    few[ready.deployment] -= 1
                    self._sent[ready.deployment].append(now)
            return found

        return taken

    def _sent_lately(self, deployment: str, now: int) -> int:
        sent = self._sent[deployment]
        while sent and not now - LATELY_US < sent[0] <= now:
            sent.popleft()
        return len(sent)
