"""A quote: what a file of work would cost and how long it would take, before anything runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tierqueue.ledger.items import Death, NewItem
from tierqueue.ledger.spending import Past
from tierqueue.router.choose import Route, Standing, choose
from tierqueue.router.item import Tier, WorkItem
from tierqueue.router.policy import Policy
from tierqueue.router.signals import measure
from tierqueue.tasks.choosing import demands_of
from tierqueue.tasks.tokens import TokenCounter

GUESS = 0.25
"""The share of its bound that a call costs where no history says: a guess, and labelled as one."""


@dataclass(slots=True)
class Part:
    """The rows that go to one deployment; money in nano-dollars, for one call a row.

    ``expected`` is the mean cost of an accepted item of this task type there in the past, or
    ``GUESS`` of the bound (``past`` is ``None``).
    """

    tier: Tier
    deployment: str
    simulated: bool
    past: Past | None
    rows: int = 0
    bound: int = 0

    @property
    def expected(self) -> int:
        if self.past is None:
            return round(self.bound * GUESS)
        return -(-self.past.cost * self.rows // self.past.accepted)


@dataclass(slots=True)
class Refused:
    """Rows that would be dead letters, by one reason: how many, the first (from 0) and its why."""

    rows: int
    first: int
    why: str


@dataclass(slots=True)
class Quote:
    """What a file would come to. ``seconds`` is ``None`` where no history says.

    The bound is that of one call a row: a retry or an escalation is held and paid for anew.
    """

    rows: int = 0
    parts: dict[str, Part] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def bound(self) -> int:
        return sum(each.bound for each in self.parts.values())

    @property
    def expected(self) -> int:
        return sum(each.expected for each in self.parts.values())

    @property
    def guessed(self) -> bool:
        """Whether any of ``expected`` is a guess."""
        return any(each.past is None for each in self.parts.values())


def quote(
    made: Iterable[tuple[NewItem, Death | None]],
    policy: Policy,
    past: Mapping[tuple[str, bool], Past],
    concurrency: Mapping[Tier, int],
    now: int,
) -> Quote:
    """Route every row as it would be routed ``now`` (epoch microseconds); commits nothing.

    ``past`` is by deployment and whether it was simulated; ``concurrency`` is what operators set.
    Raises ``Misconfigured`` where a tokenizer that the policy states cannot be loaded.
    """
    found = Quote()
    standing, counter = Standing(now=now), TokenCounter(policy)
    for index, (new, death) in enumerate(made):
        found.rows += 1
        if death is not None:
            _refuse(found, death.reason, index, death.message)
            continue
        item = work_item(new, policy, now)
        signals = measure(item, counter.count(new.task, new.arguments))
        chosen = choose(item, signals, policy, standing)
        if not isinstance(chosen, Route):
            _refuse(found, chosen.reason, index, chosen.message)
            continue
        part = found.parts.get(chosen.deployment)
        if part is None:
            simulated = policy.deployments[chosen.deployment].simulated
            known = past.get((chosen.deployment, simulated))
            known = known if known is not None and known.accepted else None
            part = Part(chosen.tier, chosen.deployment, simulated, known)
            found.parts[chosen.deployment] = part
        part.rows += 1
        part.bound += chosen.bound
    found.seconds = _seconds(found, policy, concurrency)
    return found


def work_item(new: NewItem, policy: Policy, now: int) -> WorkItem:
    """The item as the router sees it, its demands resolved ``now`` (epoch microseconds)."""
    return WorkItem(
        id=new.id,
        task=new.task,
        demands=demands_of(new, policy, now),
        prompt_bytes=new.prompt_bytes,
        messages=new.messages,
        output_limit=new.output_limit,
    )


def _refuse(found: Quote, reason: str, index: int, why: str) -> None:
    if reason in found.refused:
        found.refused[reason].rows += 1
    else:
        found.refused[reason] = Refused(1, index, why)


def _seconds(found: Quote, policy: Policy, concurrency: Mapping[Tier, int]) -> float | None:
    """How long it takes from when it begins: tiers work side by side, each within its limits."""
    busy: dict[Tier, float] = {}
    longest = 0.0
    for part in found.parts.values():
        if part.past is None or part.past.seconds is None:
            return None
        limits = policy.deployments[part.deployment].limits
        work = part.rows * part.past.seconds
        busy[part.tier] = busy.get(part.tier, 0.0) + work
        longest = max(longest, work / (limits.in_flight or float("inf")))
        for rate, needed in (
            (limits.requests_per_minute, part.rows),
            (limits.tokens_per_minute, part.rows * part.past.tokens),
        ):
            if rate is not None:
                longest = max(longest, needed * 60 / rate)
    for tier, work in busy.items():
        calls = concurrency.get(tier, policy.tiers[tier].concurrency)
        if calls == 0:
            return None
        longest = max(longest, work / calls)
    return longest
