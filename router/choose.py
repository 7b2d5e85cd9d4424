"""The routing decision: the cheapest deployment that satisfies everything an item demands."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from tierqueue.router.errors import CostCeilingExceeded, NoRoute, Unpriced
from tierqueue.router.escalation import all_too_small, rank_after, rank_beside
from tierqueue.router.item import TIERS, Sensitivity, Tier, WorkItem
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy import batch
from tierqueue.router.policy.deployment import Deployment, Limits
from tierqueue.router.policy.duration import MICROSECONDS
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.rates import MaxRate
from tierqueue.router.pricing import max_rate
from tierqueue.router.route import Choice, Refusal, Route, barred
from tierqueue.router.signals import Signals

_DAY = 86_400 * MICROSECONDS
_EPOCH_DAY = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the router is told of the world.

    ``now`` is the time in epoch microseconds; ``unavailable`` holds the deployments that nobody
    can use now, each with the reason (``{"best": "outage (HTTP 503)"}``). Another of its tier
    stands in on the same side of the house's boundary; where none can, the item waits.
    """

    now: int
    unavailable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A deployment and what is known of it before any item of a kind is looked at."""

    name: str
    tier: Tier
    barred: Refusal | None
    context_window: int
    burst: int | None
    limits: Limits
    floor: Refusal | None
    price: MaxRate | Refusal
    in_batch: MaxRate | None
    by_the_hour: bool
    counted: bool
    reasoning: int
    house: bool
    tells_confidence: bool


class _Fit(NamedTuple):
    """A candidate that breaks no rule; the least of them is chosen. Money in nano-dollars."""

    costs_more: NanoUSD
    rank: int
    name: str
    bound: NanoUSD
    candidate: _Candidate


@lru_cache(maxsize=256)
def _candidates(
    policy: Policy, task: str, sensitivity: Sensitivity, rank: int, day: int
) -> tuple[_Candidate, ...]:
    """What does not depend on the item but on its kind; thousands of items a second share it."""
    return tuple(
        _candidate(
            deployment,
            policy.counts(deployment),
            task,
            sensitivity,
            rank,
            date.fromordinal(_EPOCH_DAY + day),
        )
        for deployment in policy.deployments.values()
    )


def _candidate(
    deployment: Deployment,
    counted: bool,
    task: str,
    sensitivity: Sensitivity,
    rank: int,
    since: date,
) -> _Candidate:
    name, floor = deployment.name, None
    if TIERS.index(deployment.tier) < rank:
        least = f"{TIERS[rank]} or better is needed" if rank < len(TIERS) else "no tier is left"
        floor = Refusal(name, "floor", f"{least} and this is {deployment.tier}")
    price: MaxRate | Refusal
    try:
        price = max_rate(deployment, since)
    except Unpriced as wrong:
        price = Refusal(name, "unpriced", wrong.message)
    window, burst = deployment.context_window, deployment.token_burst
    hourly = deployment.gpu_hour is not None
    reasoning, house = deployment.reasoning_tokens, deployment.boundary == "house"
    return _Candidate(
        name,
        deployment.tier,
        barred(deployment, task, sensitivity),
        window,
        burst,
        deployment.limits,
        floor,
        price,
        None if deployment.batch is None else max_rate(deployment.in_batch, since),
        hourly,
        counted,
        reasoning,
        house,
        deployment.tells_confidence,
    )


def choose(item: WorkItem, signals: Signals, policy: Policy, conditions: Conditions) -> Choice:
    """The cheapest deployment by upper bound that breaks no rule (ties: lower tier, then name).

    An engine paid by the hour costs nothing more for one more item, so it counts as free here;
    what is held for it stays its bound.
    The item's demands must be resolved. An error is returned, not raised: ``CostCeilingExceeded``
    where something would do but for the item's ``max_cost``, else ``Unpriced`` where something
    would do had it a price, else ``NoRoute``.
    Where the item states a ``min_confidence``, a deployment that tells none is left out below the
    highest tier that may see the item: its answer would be paid for and prove nothing. At the
    highest it is taken, and the reasons say so.
    """
    demands = item.demands
    if demands.sensitivity is None or demands.floor is None:
        raise ValueError(f"item {item.id}: its demands are not resolved")
    least = max(TIERS.index(demands.floor), rank_after(item.refused_by))
    rank = max(least, rank_beside(item.too_small, policy))
    small = all_too_small(item.too_small, policy)
    left = None if demands.max_cost is None else demands.max_cost - item.spent
    fitting: list[_Fit] = []
    too_expensive: list[NanoUSD] = []
    refusals: list[Refusal] = []
    candidates = _candidates(policy, item.task, demands.sensitivity, rank, conditions.now // _DAY)
    top = _highest(candidates)
    may_wait, why = batch.lane(demands, conditions.now, again=item.live)
    for candidate in candidates:
        input_tokens = signals.input_tokens(candidate.name)
        output_tokens = signals.output_tokens_bound + candidate.reasoning
        if candidate.barred is not None:
            refusals.append(candidate.barred)
        elif (too_long := _too_long(candidate, input_tokens, output_tokens)) is not None:
            refusals.append(too_long)
        elif candidate.name in small:
            refusals.append(Refusal(candidate.name, "too_small", small[candidate.name]))
        elif candidate.floor is not None:
            refusals.append(candidate.floor)
        elif item.only is not None and candidate.tier is not item.only:
            refusals.append(
                Refusal(candidate.name, "fallback", f"the item fell back to {item.only}")
            )
        elif (unmeasured := _unmeasured(candidate, item, top)) is not None:
            refusals.append(unmeasured)
        elif isinstance(price := (may_wait and candidate.in_batch) or candidate.price, Refusal):
            refusals.append(price)
        else:
            bound = price.bound(input_tokens, output_tokens)
            if left is not None and candidate.counted and bound > left:
                too_expensive.append(bound)
                why = f"it can cost {format_usd(bound)} and {format_usd(max(left, 0))} is left"
                refusals.append(Refusal(candidate.name, "max_cost", why))
            else:
                more = NanoUSD(0) if candidate.by_the_hour else bound
                rank_of = TIERS.index(candidate.tier)
                fitting.append(_Fit(more, rank_of, candidate.name, bound, candidate))
    if not fitting:
        return _nothing_left(item, too_expensive, refusals)
    route = _cheapest(sorted(fitting), item, rank, signals, refusals, conditions.unavailable)
    return _in_its_lane(route, policy.deployments[route.deployment], why, may_wait=may_wait)


def _in_its_lane(route: Route, deployment: Deployment, why: str, *, may_wait: bool) -> Route:
    """The route, with why it goes in a batch or not, where its deployment has batches."""
    if deployment.batch is None:
        return route
    return replace(route, in_batch=may_wait, reasons=(*route.reasons, why))


def _too_long(candidate: _Candidate, inputs: int, outputs: int) -> Refusal | None:
    tokens = inputs + outputs
    if tokens > candidate.context_window:
        window = candidate.context_window
        why = f"up to {tokens} tokens do not fit its context window of {window}"
        return Refusal(candidate.name, "context_window", why)
    if candidate.burst is not None and tokens > candidate.burst:
        why = f"up to {tokens} tokens are more than its limiter ever grants ({candidate.burst})"
        return Refusal(candidate.name, "token_limit", why)
    limits = candidate.limits
    for most, part, name in (
        (limits.input_tokens_per_minute, inputs, "input"),
        (limits.output_tokens_per_minute, outputs, "output"),
    ):
        if most is not None and part > most:
            why = f"up to {part} tokens of {name} are more than it may be sent in a minute ({most})"
            return Refusal(candidate.name, "token_limit", why)
    return None


def _highest(candidates: tuple[_Candidate, ...]) -> int:
    """The rank of the highest tier that may do the item."""
    allowed = (candidate for candidate in candidates if candidate.barred is None)
    return max((TIERS.index(candidate.tier) for candidate in allowed), default=0)


def _unmeasured(candidate: _Candidate, item: WorkItem, top: int) -> Refusal | None:
    asked = item.min_confidence is not None and not candidate.tells_confidence
    if not asked or TIERS.index(candidate.tier) == top:
        return None
    why = f"it cannot show the confidence of {item.min_confidence} that is asked for"
    return Refusal(candidate.name, "confidence", why)


def _stand_in(fitting: list[_Fit], unavailable: Mapping[str, str]) -> _Fit:
    """The best of ``fitting``, or who takes over from it: never of another tier, never across the
    house's boundary.
    """
    best = fitting[0]
    able = (
        candidate
        for candidate in fitting
        if candidate.name not in unavailable
        and (candidate.rank, candidate.candidate.house) == (best.rank, best.candidate.house)
    )
    return next(able, best)


def _cheapest(
    fitting: list[_Fit],
    item: WorkItem,
    rank: int,
    signals: Signals,
    refusals: list[Refusal],
    unavailable: Mapping[str, str],
) -> Route:
    first, best = fitting[0], _stand_in(fitting, unavailable)
    hourly = "its engine is paid by the hour: one more item costs nothing more"
    cheapest = "nothing more" if best.candidate.by_the_hour else format_usd(best.bound)
    for other in fitting:
        if other is best:
            continue
        if other.name in unavailable:
            why = f"unavailable: {unavailable[other.name]}"
            refusals.append(Refusal(other.name, "unavailable", why))
            continue
        if other < best:
            why = f"{TIERS[other.rank]} does not take over for {first.name}"
            refusals.append(Refusal(other.name, "fallback", why))
            continue
        why = hourly if other.candidate.by_the_hour else f"it can cost {format_usd(other.bound)}"
        refusals.append(Refusal(other.name, "more_expensive", f"{why}, the chosen one {cheapest}"))
    input_tokens, counted = signals.input_tokens(best.name), best.name in signals.counted
    stands_in_for = None if best is first else first.name
    instead = f"in place of {first.name}, which is unavailable: {unavailable.get(first.name)}"
    unshown = f"it cannot show the confidence of {item.min_confidence}; no tier above it could"
    reasons = (
        *([instead] if stands_in_for else []),
        f"the cheapest of {len(fitting)} that satisfy every demand",
        f"{item.demands.sensitivity} data, {TIERS[rank]} or better",
        *([hourly] if best.candidate.by_the_hour else []),
        *([unshown] if item.min_confidence and not best.candidate.tells_confidence else []),
        *([f"at most {input_tokens} input tokens, by its own tokenizer"] if counted else []),
    )
    return Route(
        TIERS[best.rank],
        best.name,
        best.bound,
        input_tokens,
        signals.output_tokens_bound + best.candidate.reasoning,
        reasons,
        tuple(refusals),
        stands_in_for,
        unavailable.get(best.name),
    )


def _nothing_left(
    item: WorkItem, too_expensive: list[NanoUSD], refusals: list[Refusal]
) -> NoRoute | CostCeilingExceeded | Unpriced:
    fields = {"item": item.id, "refusals": [refusal.to_json() for refusal in refusals]}
    if too_expensive and item.demands.max_cost is not None:
        limit, needed = item.demands.max_cost, min(too_expensive)
        message = (
            f"Item {item.id} ({item.task}): a call can cost {format_usd(needed)}, its max_cost is "
            f"{format_usd(limit)} and {format_usd(item.spent)} is spent. Nothing was sent: replay "
            "it with a higher max_cost, or shorten the prompt or the answer."
        )
        ceiling = {"ceiling": f"item:{item.id}", "limit": int(limit), "spent": int(item.spent)}
        return CostCeilingExceeded(message, ceiling | {"held": 0, "needed": int(needed)} | fields)
    unpriced = [refusal for refusal in refusals if refusal.rule == "unpriced"]
    if unpriced:
        message = f"Item {item.id} ({item.task}): {unpriced[0].why}"
        return Unpriced(message, {"deployment": unpriced[0].deployment} | fields)
    whys = "; ".join(f"{refusal.deployment}: {refusal.why}" for refusal in refusals)
    message = (
        f"Item {item.id} ({item.task}): no deployment satisfies what it demands "
        f"({whys or 'the policy has none'}). Nothing was sent: change what it demands or add a "
        "deployment to tierqueue.toml, then replay it."
    )
    return NoRoute(message, fields)
