"""The routing decision: among what satisfies everything an item demands, the cheapest."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tierqueue.router.errors import CostCeilingExceeded, NoRoute, Unpriced
from tierqueue.router.escalation import all_too_small, rank_after, rank_beside
from tierqueue.router.item import TIERS, Tier, WorkItem
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy import batch
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import MICROSECONDS
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Choice, Refusal, Route
from tierqueue.router.selection.candidate import Candidate, candidates_of, highest
from tierqueue.router.selection.evidence import ByDeployment, Evidence, probes
from tierqueue.router.selection.fitting import Fit, Queue, by_expected_cost, enough, in_time
from tierqueue.router.selection.nearest import nearest_change
from tierqueue.router.signals import Signals

_DAY = 86_400 * MICROSECONDS


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the router is told of the world.

    ``now`` is the time in epoch microseconds; ``unavailable`` holds the deployments that nobody
    can use now, each with the reason (``{"best": "outage (HTTP 503)"}``). Another of its tier
    stands in on the same side of the house's boundary; where none can, the item waits.
    ``evidence`` is what the answers so far have shown, by task type and deployment, and ``queues``
    what stands before an item in each tier.
    """

    now: int
    unavailable: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, ByDeployment] = field(default_factory=dict)
    queues: Mapping[Tier, Queue] = field(default_factory=dict)


class _Looked(NamedTuple):
    """What came of looking at every candidate: who breaks no wall, and why not the others."""

    candidates: tuple[Candidate, ...]
    rank: int
    fitting: list[Fit]
    too_expensive: list[NanoUSD]
    refusals: list[Refusal]
    may_wait: bool
    lane: str


_NOTHING_KNOWN: Mapping[str, Evidence] = {}


def choose(item: WorkItem, signals: Signals, policy: Policy, conditions: Conditions) -> Choice:
    """The deployment that breaks no rule and costs the least for an accepted answer.

    By expectation, where this task type has enough answers to expect anything: a call at the usual
    tokens, and with the chance that it is refused what the tier above costs. Else by the upper
    bound of a call, as one item in so many goes by in any case. Ties go to the lower tier, then to
    the name. An engine paid by the hour costs nothing more for one more item, so it counts as free
    here; what is held for it stays its bound. Where somebody is expected to answer before the
    deadline, nobody is taken who is not.

    The item's demands must be resolved. An error is returned, not raised: ``CostCeilingExceeded``
    where something would do but for the item's ``max_cost``, else ``Unpriced`` where something
    would do had it a price, else ``NoRoute``.
    Where the item states a ``min_confidence``, a deployment that tells none is left out below the
    highest tier that may see the item: its answer would be paid for and prove nothing. At the
    highest it is taken, and the reasons say so.
    """
    looked = _look(item, signals, policy, conditions.now)
    if not looked.fitting:
        change = None
        if not looked.too_expensive and looked.candidates:

            def taken(other: WorkItem, with_signals: Signals) -> str | None:
                found = _look(other, with_signals, policy, conditions.now).fitting
                return min(found).name if found else None

            change = nearest_change(item, signals, looked.candidates, looked.refusals, taken)
        return _nothing_left(item, looked.too_expensive, looked.refusals, change)
    known = conditions.evidence.get(item.task, _NOTHING_KNOWN)
    by_bounds = sorted(looked.fitting)
    order, why = by_bounds, None
    if enough(known):
        if item.demands.deadline is not None:
            left = (item.demands.deadline - conditions.now) / MICROSECONDS
            by_bounds, late = in_time(by_bounds, known, conditions.queues, left)
            looked.refusals.extend(Refusal(name, "deadline", late[name]) for name in sorted(late))
        order, why = by_bounds, "one of those that go by the bounds, to see how it does"
        if not probes(item.id):
            order, why = by_expected_cost(by_bounds, signals, known), None
    best = _stand_in(order, conditions.unavailable)
    if best.name in conditions.unavailable and order[0].name != by_bounds[0].name:
        # What the answers so far advise cannot be had: the bounds alone decide, as without them.
        order, why = by_bounds, f"{order[0].name}, which would be taken, is unavailable"
        best = _stand_in(order, conditions.unavailable)
    route = _taken(order, best, item, looked, signals, conditions, known, why)
    return _in_its_lane(route, policy.deployments[route.deployment], looked)


def _in_its_lane(route: Route, deployment: Deployment, looked: _Looked) -> Route:
    """The route, with why it goes in a batch or not, where its deployment has batches."""
    if deployment.batch is None:
        return route
    return replace(route, in_batch=looked.may_wait, reasons=(*route.reasons, looked.lane))


def _look(item: WorkItem, signals: Signals, policy: Policy, now: int) -> _Looked:
    """Hold every deployment of the policy against every wall."""
    demands = item.demands
    if demands.sensitivity is None or demands.floor is None:
        raise ValueError(f"item {item.id}: its demands are not resolved")
    least = max(TIERS.index(demands.floor), rank_after(item.refused_by))
    rank = max(least, rank_beside(item.too_small, policy))
    small = all_too_small(item.too_small, policy)
    left = None if demands.max_cost is None else demands.max_cost - item.spent
    fitting: list[Fit] = []
    too_expensive: list[NanoUSD] = []
    refusals: list[Refusal] = []
    candidates = candidates_of(policy, item.task, demands.sensitivity, rank, now // _DAY)
    top = highest(candidates)
    may_wait, lane = batch.lane(demands, now, again=item.live)
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
                paid = candidate if price is candidate.price else replace(candidate, price=price)
                fitting.append(Fit(more, rank_of, candidate.name, bound, paid))
    return _Looked(candidates, rank, fitting, too_expensive, refusals, may_wait, lane)


def _too_long(candidate: Candidate, inputs: int, outputs: int) -> Refusal | None:
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


def _unmeasured(candidate: Candidate, item: WorkItem, top: int) -> Refusal | None:
    asked = item.min_confidence is not None and not candidate.tells_confidence
    if not asked or TIERS.index(candidate.tier) == top:
        return None
    why = f"it cannot show the confidence of {item.min_confidence} that is asked for"
    return Refusal(candidate.name, "confidence", why)


def _stand_in(fitting: list[Fit], unavailable: Mapping[str, str]) -> Fit:
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


_HOURLY = "its engine is paid by the hour: one more item costs nothing more"


def _taken(
    order: list[Fit],
    best: Fit,
    item: WorkItem,
    looked: _Looked,
    signals: Signals,
    conditions: Conditions,
    known: ByDeployment,
    why: str | None,
) -> Route:
    first, unavailable, refusals = order[0], conditions.unavailable, looked.refusals
    expected = enough(known) and why is None
    for other in order:
        if other is best:
            continue
        if other.name in unavailable:
            away = f"unavailable: {unavailable[other.name]}"
            refusals.append(Refusal(other.name, "unavailable", away))
        elif other < best:
            instead = f"{TIERS[other.rank]} does not take over for {first.name}"
            refusals.append(Refusal(other.name, "fallback", instead))
        else:
            more = _expected(other, best, known) if expected else _at_most(other, best)
            refusals.append(Refusal(other.name, "more_expensive", more))
    input_tokens, counted = signals.input_tokens(best.name), best.name in signals.counted
    stands_in_for = None if best is first else first.name
    instead = f"in place of {first.name}, which is unavailable: {unavailable.get(first.name)}"
    unshown = f"it cannot show the confidence of {item.min_confidence}; no tier above it could"
    answers = sum(one.answers for one in known.values())
    price = f"{format_usd(best.costs_more)} expected for an accepted answer, by {answers} so far"
    reasons = (
        *([instead] if stands_in_for else []),
        f"the cheapest of {len(order)} that satisfy every demand",
        f"{item.demands.sensitivity} data, {TIERS[looked.rank]} or better",
        *([_HOURLY] if best.candidate.by_the_hour else []),
        *([price] if expected and best.costs_more else []),
        *([why] if why is not None else []),
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


def _at_most(other: Fit, best: Fit) -> str:
    """Why ``other`` is not taken, by what a call can cost."""
    cheapest = "nothing more" if best.candidate.by_the_hour else format_usd(best.bound)
    why = _HOURLY if other.candidate.by_the_hour else f"it can cost {format_usd(other.bound)}"
    return f"{why}, the chosen one {cheapest}"


def _expected(other: Fit, best: Fit, known: ByDeployment) -> str:
    """Why ``other`` is not taken, by what an accepted answer is expected to cost."""
    seen = known.get(other.name)
    of_it = ""
    if seen is not None and seen.enough and seen.accepted < seen.answers:
        of_it = f" ({seen.accepted} of its {seen.answers} answers were accepted)"
    costs = f"{format_usd(other.costs_more)}, at the chosen one {format_usd(best.costs_more)}"
    return f"an accepted answer is expected to cost {costs}{of_it}"


def _nothing_left(
    item: WorkItem, too_expensive: list[NanoUSD], refusals: list[Refusal], change: str | None
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
    nearest = f" The nearest change: {change}." if change else ""
    whys = "; ".join(f"{refusal.deployment}: {refusal.why}" for refusal in refusals)
    message = (
        f"Item {item.id} ({item.task}): no deployment satisfies what it demands "
        f"({whys or 'the policy has none'}). Nothing was sent: change what it demands or add a "
        f"deployment to tierqueue.toml, then replay it.{nearest}"
    )
    return NoRoute(message, fields | ({"nearest": change} if change else {}))
