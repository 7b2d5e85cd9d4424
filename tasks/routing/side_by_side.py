"""Policies side by side, while one follows another: what one of them forbids is not called."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tierqueue.ledger.records import Item
from tierqueue.router.money import NOTHING
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.policy import Policy
from tierqueue.router.selection.walls import broken
from tierqueue.tasks.routing.decide import work_item_of

ROLL_OUT_US = 10 * SECOND_US
"""Microseconds after a policy was applied for which the walls of the one before it hold as well:
longer than processes take to go by it. One that takes longer keeps to its own walls besides.
"""

_AGAIN_US = 500_000
"""Microseconds after which an item that this process's own policy forbids is looked at again."""


class FormerPolicy(NamedTuple):
    """A policy that another has followed."""

    policy: Policy
    until: int
    """Epoch microseconds: how long its walls hold."""


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy that a process goes by, and those before it whose walls may still hold."""

    own: Policy
    before: Sequence[FormerPolicy] = ()

    def followed_by(self, policy: Policy, applied_at: int) -> "Policies":
        """The same process once it goes by ``policy``."""
        kept = [one for one in self.before if one.until > applied_at]
        return Policies(policy, (*kept, FormerPolicy(self.own, applied_at + ROLL_OUT_US)))

    def held_back(self, items: Iterable[Item], called: Deployment, now: int) -> dict[str, int]:
        """The ids of routed items that may not be called at ``called`` yet, with until when.

        Times are epoch microseconds. Who routed them has looked at one policy: what any of these
        forbids is held back.
        """
        before = [one for one in self.before if one.until > now]
        held: dict[str, int] = {}
        for item in items:
            for policy, until in before:
                if _forbids(policy, item, called, now):
                    held[item.id] = max(until, held.get(item.id, 0))
            routed_by_own = item.policy == self.own.digest
            if item.id not in held and not routed_by_own and _forbids(self.own, item, called, now):
                held[item.id] = now + _AGAIN_US
        return held


def _forbids(policy: Policy, item: Item, called: Deployment, now: int) -> bool:
    work = work_item_of(item, policy, now)
    if item.degraded is not None and work.only is None:
        # It fell to another tier, which this policy does not have it do.
        return True
    return broken(policy, work, called, item.bound or NOTHING, item.token_bound or 0) is not None
