"""The refusals that a policy is expected to make of recorded items, each with its reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tierqueue.ledger.ceilings.windows import window_start
from tierqueue.ledger.records import Item
from tierqueue.router.choose import Conditions
from tierqueue.router.item import WorkItem
from tierqueue.router.money import format_usd
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.tables import CeilingRule
from tierqueue.router.route import Route

SHOWN = 3
"""Items of each reason that are shown with why."""


@dataclass(slots=True)
class Refusals:
    """Ids by the reason of the dead letter, and of the first few of each reason why."""

    items: dict[str, list[str]] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.items)

    def __len__(self) -> int:
        return sum(len(ids) for ids in self.items.values())

    def add(self, item: str, reason: str, why: str) -> None:
        """One more item."""
        ids = self.items.setdefault(reason, [])
        if len(ids) < SHOWN:
            self.why[item] = why
        ids.append(item)

    def examples(self, reason: str) -> list[dict[str, str]]:
        """The first few items of a reason, each with why."""
        return [{"item": item, "why": self.why[item]} for item in self.items[reason][:SHOWN]]


def late(work: WorkItem, route: Route, conditions: Conditions) -> str | None:
    """Why an answer is expected after the item's deadline, by how long such calls took so far, with
    nobody ahead; ``None``: it is not, or nothing is known of it.
    """
    seen = conditions.evidence.get(work.task, {}).get(route.deployment)
    if seen is None or not seen.enough or work.demands.deadline is None:
        return None
    left = (work.demands.deadline - conditions.now) / SECOND_US
    if seen.mean_seconds <= left:
        return None
    took = f"its calls at {route.deployment} took {seen.mean_seconds:,.0f} s on average"
    return f"{took}, and it had {max(0.0, left):,.0f} s until its deadline"


class ExpectedSpending:
    """What recorded items are expected to spend of a policy's ceilings, in order of submission.

    Each ceiling begins empty with the first item: what was spent before says nothing of it.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._spent: Counter[tuple[Any, ...]] = Counter()

    def spend(self, item: Item, work: WorkItem, route: Route, cost: float) -> str | None:
        """Spend ``cost`` (nano-dollars) for an item; why not, where a ceiling does not cover it."""
        deployment = self._policy.deployments[route.deployment]
        if not self._policy.counts(deployment):
            return None
        of: dict[str, str | None] = {
            "job": item.job_id,
            "budget": work.demands.budget,
            "tier": deployment.tier.value,
            "deployment": deployment.name,
            "provider": deployment.provider,
            "purpose": item.purpose,
            "everything": "*",
        }
        places: list[tuple[Any, ...]] = []
        for rule in self._policy.ceilings:
            name = of[rule.scope]
            if name is None or rule.name not in (name, "*") or self._has_its_own(rule, name):
                continue
            begin = window_start(rule.window, rule.timezone, item.submitted_at)
            place = (rule.scope, name, rule.window, begin)
            if self._spent[place] + cost > rule.limit:
                limit = f"{format_usd(rule.limit)} ({rule.window}, {begin})"
                spent = format_usd(round(self._spent[place]))
                return f"ceiling {rule.scope}:{name} of {limit}: {spent} are spent by then"
            places.append(place)
        for place in places:
            self._spent[place] += round(cost)
        return None

    def _has_its_own(self, rule: CeilingRule, name: str) -> bool:
        """Whether this rule for each one gives way to another by the name."""
        return rule.name == "*" != name and any(
            (other.scope, other.name, other.window) == (rule.scope, name, rule.window)
            for other in self._policy.ceilings
        )
