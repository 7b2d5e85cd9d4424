"""Second items: accepted ones that are answered once more, by whom, and on what terms.

The draw is a hash of the item's id, so that it is the same whoever settles. Nothing is drawn of
what an evaluation asked, of what fell back, and of second items themselves; whom a wall keeps out
is not asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tierqueue.ledger.lifecycle.second_items import SecondItemTerms
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.item import TIERS, Latency, Purpose, WorkItem
from tierqueue.router.money import NOTHING, NanoUSD
from tierqueue.router.policy.defaults import DEFAULT_DEADLINE_US, TaskDefaults
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.route import Route
from tierqueue.router.signals import measure
from tierqueue.tasks.routing.below import drawn
from tierqueue.tasks.routing.decide import own_of, work_item_of
from tierqueue.tasks.settle.write import EndedAttempt


def second_items_of(call: EndedAttempt, cost: NanoUSD) -> tuple[SecondItemTerms, ...]:
    """The second items of an item that is accepted now; ``cost``: nano-dollars of this call."""
    item, policy = call.claim.item, call.policy
    usual = policy.tasks.get(item.task)
    if usual is None or (usual.explore is None and usual.shadow is None):
        return ()
    if item.pinned is not None or item.degraded is not None or call.cancelled:
        return ()
    purposes = _drawn(call, usual)
    if not purposes:
        return ()
    work = _anew(call, usual, cost)
    ways = tuple(_ways(call, usual, work, purposes))
    left = work.demands.max_cost
    if left is not None and len(ways) > 1:
        each = NanoUSD(left // len(ways))
        sharing = replace(work, demands=replace(work.demands, max_cost=each))
        shared = tuple(_ways(call, usual, sharing, purposes))
        # Where not each has a way for its part, the first alone has all of it.
        ways, work = (shared, sharing) if len(shared) == len(ways) else (ways[:1], work)
    return tuple(_second(call, work, *way) for way in ways)


def _drawn(call: EndedAttempt, usual: TaskDefaults) -> list[Purpose]:
    """For what the item is drawn: most are for nothing, and that is found before all else."""
    explore, shadow, item_id = usual.explore, usual.shadow, call.claim.item.id
    purposes: list[Purpose] = []
    if explore is not None and drawn(Purpose.EXPLORATION, item_id, explore.share):
        purposes.append(Purpose.EXPLORATION)
    if shadow is None or shadow.deployment == call.deployment.name:
        return purposes
    # Of another candidate other items.
    if drawn(f"{Purpose.SHADOW}:{shadow.deployment}", item_id, shadow.share):
        purposes.append(Purpose.SHADOW)
    return purposes


def _anew(call: EndedAttempt, usual: TaskDefaults, cost: NanoUSD) -> WorkItem:
    """The item as if it were submitted now, and nobody waited for it.

    Of its own ``max_cost`` there is what the first call has left, for all second items together.
    """
    work = work_item_of(call.claim.item, call.policy, call.now)
    demands = replace(
        work.demands,
        latency=Latency.BACKGROUND,
        deadline=call.now + (usual.deadline or DEFAULT_DEADLINE_US),
    )
    if demands.max_cost is not None:
        spent = work.spent + (cost if call.claim.counted else NOTHING)
        demands = replace(demands, max_cost=NanoUSD(max(0, demands.max_cost - spent)))
    live = _lane(call) is not None
    return replace(work, demands=demands, spent=NOTHING, called=False, live=live)


def _ways(
    call: EndedAttempt, usual: TaskDefaults, work: WorkItem, purposes: Sequence[Purpose]
) -> Iterator[tuple[Purpose, Route, str | None]]:
    """For what it is drawn, where it would go, and the candidate, if it is in the shadow of one.

    Another tier is the next below that may do it, to see whether that is good enough; where none
    may, the next above, to see whether that is better.
    """
    if Purpose.EXPLORATION in purposes:
        rank = TIERS.index(call.deployment.tier)
        others = (*reversed(TIERS[:rank]), *TIERS[rank + 1 :])
        routes = (_route(replace(work, pinned=tier), call) for tier in others)
        route = next((route for route in routes if route is not None), None)
        if route is not None:
            yield Purpose.EXPLORATION, route, None
    if Purpose.SHADOW in purposes and usual.shadow is not None:
        candidate = usual.shadow.deployment
        tier = call.policy.deployments[candidate].tier
        route = _route(replace(work, pinned=tier, candidate=candidate), call)
        if route is not None:
            yield Purpose.SHADOW, route, candidate


def _route(work: WorkItem, call: EndedAttempt) -> Route | None:
    # Bounded by its bytes where a tokenizer would count: at worst it is not asked.
    found = choose(work, measure(work, {}), call.policy, Conditions(now=call.now))
    return found if isinstance(found, Route) else None


def _second(
    call: EndedAttempt, work: WorkItem, purpose: Purpose, route: Route, candidate: str | None
) -> SecondItemTerms:
    item, demands = call.claim.item, work.demands
    stated = {name: value for name, value in own_of(item).items() if name != "fallback"}
    stated["latency"] = Latency.BACKGROUND.value
    if demands.max_cost is not None:
        stated["max_cost"] = int(demands.max_cost)
    assert demands.sensitivity is not None
    return SecondItemTerms(
        purpose=purpose.value,
        pinned=route.tier.value,
        candidate=candidate,
        stated=stated,
        sensitivity=demands.sensitivity.value,
        budget=demands.budget,
        task=item.task,
        lane=_lane(call),
        bound=route.bound,
        counted=call.policy.counts(call.policy.deployments[route.deployment]),
    )


def _lane(call: EndedAttempt) -> str | None:
    """It goes live where the first did, so that both are compared at the same price."""
    return None if call.claim.item.lane in (Lane.BATCH, Lane.FLEX) else Lane.LIVE.value
