"""The routing decision: among what satisfies everything an item demands, the cheapest."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tierqueue.router.errors import CostCeilingExceeded, NoRoute, Unpriced
from tierqueue.router.escalation import all_too_small, rank_after, rank_beside
from tierqueue.router.item import TIERS, Latency, Sensitivity, Tier, WorkItem
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.deployment import Limits
from tierqueue.router.policy.duration import DAY_US, SECOND_US
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.prices import MaxRate
from tierqueue.router.pricing import bound_by_time
from tierqueue.router.route import Choice, Refusal, Route, bars
from tierqueue.router.selection.call_seconds import ByTask
from tierqueue.router.selection.candidate import (
    Candidate,
    PayingBudget,
    candidates_of,
    highest,
    limited,
    over_window,
    set_in,
)
from tierqueue.router.selection.evidence import ByDeployment, Evidence, probes
from tierqueue.router.selection.fitting import Fit, Queue, by_expected_cost, enough, in_time, soon
from tierqueue.router.selection.nearest import nearest_change
from tierqueue.router.selection.slack import Slack, slack_of
from tierqueue.router.signals import Signals


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the router is told of the world.

    ``now`` is the time in epoch microseconds; ``unavailable`` holds the deployments that nobody
    can use now, each with the reason (``{"best": "outage (HTTP 503)"}``). Another of its tier
    stands in on the same side of the house's boundary; where none can, the item waits.
    ``evidence`` is what the answers so far have shown, by task type and deployment, and ``queues``
    what stands before an item in each tier. ``silent`` are deployments whose servers refuse to show
    the log-probabilities that the policy says they show; ``limits`` are those that operators set in
    place of what the policy states, by deployment, ``account:NAME`` and ``budget:NAME``.
    ``call_seconds``: how long a call of a task type may take of an engine that is paid by the hour,
    where enough of its answers say so.
    """

    now: int
    unavailable: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, ByDeployment] = field(default_factory=dict)
    queues: Mapping[Tier, Queue] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    call_seconds: ByTask = field(default_factory=dict)


class _Survey(NamedTuple):
    """What came of looking at every candidate: who breaks no wall, and why not the others."""

    candidates: tuple[Candidate, ...]
    rank: int
    fitting: list[Fit]
    too_expensive: list[NanoUSD]
    refusals: list[Refusal]
    slack: Slack


_NOTHING_KNOWN: Mapping[str, Evidence] = {}


def choose(item: WorkItem, signals: Signals, policy: Policy, conditions: Conditions) -> Choice:
    """The deployment that breaks no rule and costs the least for an accepted answer.

    By expectation, where this task type has enough answers to expect anything, or a predictor was
    asked how likely each tier is right: a call at the usual
    tokens, and with the chance that it is refused what the tier above costs. Else by the upper
    bound of a call, as one item in so many goes by in any case. Ties go to the lower tier, then to
    the name. An engine paid by the hour costs nothing more for one more item, so it counts as free
    here; what is held for it stays its bound. Where somebody is expected to answer before the
    deadline, nobody is taken who is not. For whom somebody waits, a tier that is not expected to
    answer as soon as the policy says is passed over for the next one that does: upward, and within
    every wall.

    The item's demands must be resolved. An error is returned, not raised: ``CostCeilingExceeded``
    where something would do but for the item's ``max_cost``, else ``Unpriced`` where something
    would do had it a price, else ``NoRoute``.
    Where the item states a ``min_confidence``, a deployment that tells none is left out below the
    highest tier that may see the item: its answer would be paid for and prove nothing. At the
    highest it is taken, and the reasons say so. Where limits that operators set leave nobody, the
    item waits for one of them to be lifted.
    """
    signals = _with_images(item, signals, policy, conditions)
    weighed = _weigh(item, signals, policy, conditions)
    if not weighed.fitting and conditions.limits:
        conditions = replace(conditions, limits={})
        weighed = _weigh(item, signals, policy, conditions)
    if not weighed.fitting:
        change = None
        if not weighed.too_expensive and weighed.candidates:

            def taken(other: WorkItem, with_signals: Signals) -> str | None:
                found = _weigh(other, with_signals, policy, conditions).fitting
                return min(found).name if found else None

            change = nearest_change(item, signals, weighed.candidates, weighed.refusals, taken)
        return _nothing_left(item, weighed.too_expensive, weighed.refusals, change)
    known = conditions.evidence.get(item.task, _NOTHING_KNOWN)
    by_bounds, urgent = sorted(weighed.fitting), item.demands.latency is Latency.INTERACTIVE
    if urgent and (within := policy.interactive_within):
        by_bounds, late = soon(by_bounds, known, conditions.queues, within)
        weighed.refusals.extend(Refusal(name, "latency", late[name]) for name in sorted(late))
    order, why = by_bounds, None
    if enough(known) or signals.predicted is not None:
        if item.demands.deadline is not None:
            left = (item.demands.deadline - conditions.now) / SECOND_US
            by_bounds, late = in_time(by_bounds, known, conditions.queues, left, urgent=urgent)
            weighed.refusals.extend(Refusal(name, "deadline", late[name]) for name in sorted(late))
        order, why = by_bounds, "one of those that go by the bounds, to see how it does"
        if not probes(item.id):
            order, why = by_expected_cost(by_bounds, signals, known), None
    best = _stand_in(order, conditions.unavailable)
    if best.name in conditions.unavailable and order[0].name != by_bounds[0].name:
        # What the answers so far advise cannot be had: the bounds alone decide, as without them.
        order, why = by_bounds, f"{order[0].name}, which would be taken, is unavailable"
        best = _stand_in(order, conditions.unavailable)
    route = _taken(order, best, item, weighed, signals, conditions, known, why)
    return _in_its_lane(route, best.candidate, weighed.slack)


def _with_images(
    item: WorkItem, signals: Signals, policy: Policy, conditions: Conditions
) -> Signals:
    """The signals with what the item's images count as at each deployment that takes some."""
    if not item.images:
        return signals
    day, sensitivity = conditions.now // DAY_US, item.demands.sensitivity or Sensitivity.REGULATED
    candidates = candidates_of(policy, item.task, sensitivity, 0, day)
    images = {candidate.name: candidate.image_tokens(item.images) for candidate in candidates}
    return replace(signals, images=images)


def _in_its_lane(route: Route, candidate: Candidate, slack: Slack) -> Route:
    """The route with its lane, and why that, where its deployment has more than one."""
    batch, flex = candidate.in_batch is not None, candidate.flex_least_us
    if not batch and flex is None:
        return route
    lane = slack.lane(batch=batch, flex=flex)
    return replace(
        route, lane=lane, reasons=(*route.reasons, slack.why(lane, batch=batch, flex=flex))
    )


def _weigh(item: WorkItem, signals: Signals, policy: Policy, conditions: Conditions) -> _Survey:
    """Hold every deployment of the policy against every wall."""
    demands, now = item.demands, conditions.now
    if demands.sensitivity is None or demands.floor is None:
        raise ValueError(f"item {item.id}: its demands are not resolved")
    least = max(TIERS.index(demands.floor), rank_after(item.refused_by))
    rank = max(least, rank_beside(item.too_small, policy))
    small = all_too_small(item.too_small, policy)
    left = None if demands.max_cost is None else demands.max_cost - item.spent
    fitting: list[Fit] = []
    too_expensive: list[NanoUSD] = []
    refusals: list[Refusal] = []
    of_its_kind = candidates_of(policy, item.task, demands.sensitivity, rank, now // DAY_US)
    candidates = limited(of_its_kind, conditions.limits)
    top, paying = highest(candidates), _paying(demands.budget, policy, conditions)
    slack = slack_of(demands, now, live=item.live)
    for candidate in candidates:
        input_tokens = signals.input_tokens(candidate.name)
        output_tokens = signals.output_tokens_bound + candidate.reasoning_tokens
        if candidate.barred is not None and bars(candidate.barred, item.candidate):
            refusals.append(candidate.barred)
        elif (too_long := over_window(candidate, input_tokens, output_tokens, paying)) is not None:
            refusals.append(too_long)
        elif candidate.name in small:
            refusals.append(Refusal(candidate.name, "too_small", small[candidate.name]))
        elif candidate.floor is not None:
            refusals.append(candidate.floor)
        elif (elsewhere := _elsewhere(candidate, item)) is not None:
            refusals.append(elsewhere)
        elif (unfit := _unfit(candidate, item, top, conditions)) is not None:
            refusals.append(unfit)
        elif isinstance(price := _price(candidate, slack), Refusal):
            refusals.append(price)
        else:
            seconds = _seconds(candidate, item, conditions)
            bound = (
                price.bound(input_tokens, output_tokens)
                if seconds is None
                else bound_by_time(policy.deployments[candidate.name], seconds)
            )
            if left is not None and candidate.counted and bound > left:
                too_expensive.append(bound)
                why = f"it can cost {format_usd(bound)} and {format_usd(max(left, 0))} is left"
                refusals.append(Refusal(candidate.name, "max_cost", why))
            else:
                more = NanoUSD(0) if candidate.by_the_hour else bound
                rank_of = TIERS.index(candidate.tier)
                paid = candidate if price is candidate.price else replace(candidate, price=price)
                fitting.append(Fit(more, rank_of, candidate.name, bound, paid))
    return _Survey(candidates, rank, fitting, too_expensive, refusals, slack)


def _elsewhere(candidate: Candidate, item: WorkItem) -> Refusal | None:
    """Why the item asks others alone, if it does."""
    if item.candidate not in (None, candidate.name):
        return Refusal(candidate.name, "pinned", f"a shadow asks {item.candidate} alone")
    if item.pinned is not None and candidate.tier is not item.pinned:
        why = f"an evaluation or an exploration asks {item.pinned} alone"
        return Refusal(candidate.name, "pinned", why)
    if item.only is not None and candidate.tier is not item.only:
        return Refusal(candidate.name, "fallback", f"the item fell back to {item.only}")
    return None


def _paying(budget: str | None, policy: Policy, conditions: Conditions) -> PayingBudget | None:
    """The budget that pays, where it has limits."""
    scope = f"budget:{budget}"
    limits = set_in(policy.limits_of(scope), conditions.limits.get(scope))
    return PayingBudget(budget, limits) if budget is not None and limits != Limits() else None


def _price(candidate: Candidate, slack: Slack) -> MaxRate | Refusal:
    return candidate.by(
        slack.lane(batch=candidate.in_batch is not None, flex=candidate.flex_least_us)
    )


def _seconds(candidate: Candidate, item: WorkItem, conditions: Conditions) -> float | None:
    """The seconds of its engine that the item's call may take; ``None``: its timeout bounds it, or
    the price of its tokens.

    A call that was ended for them is tried again with all its time.
    """
    if item.called or not (candidate.by_the_hour and candidate.counted):
        return None
    return conditions.call_seconds.get(item.task, {}).get(candidate.name)


def _unfit(
    candidate: Candidate, item: WorkItem, top: int, conditions: Conditions
) -> Refusal | None:
    """Why it cannot give what the item asks for: a look at its images, or a confidence."""
    if item.images and candidate.image_rule is None:
        return Refusal(candidate.name, "vision", "it takes no images, and the item has some")
    if item.min_confidence is not None and candidate.name in conditions.silent:
        why = (
            "its server refuses the log-probabilities by which the confidence of "
            f"{item.min_confidence} that is asked for would be measured"
        )
        return Refusal(candidate.name, "confidence", why)
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
    weighed: _Survey,
    signals: Signals,
    conditions: Conditions,
    known: ByDeployment,
    why: str | None,
) -> Route:
    first, unavailable, refusals = order[0], conditions.unavailable, weighed.refusals
    predicted = signals.predicted if why is None else None
    expected = why is None and (enough(known) or predicted is not None)
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
    seconds = _seconds(best.candidate, item, conditions)
    by_its_time = best.candidate.by_the_hour and best.candidate.counted
    price = f"{format_usd(best.costs_more)} expected for an accepted answer, by {answers} so far"
    reasons = (
        *([instead] if stands_in_for else []),
        f"the cheapest of {len(order)} that satisfy every demand",
        f"{item.demands.sensitivity} data, {TIERS[weighed.rank]} or better",
        *([_HOURLY] if best.candidate.by_the_hour else []),
        *([f"at most {seconds:.3g} s of it, by its answers so far"] if seconds else []),
        *([price] if expected and best.costs_more else []),
        *([str(predicted)] if predicted is not None else []),
        *([why] if why is not None else []),
        *([unshown] if item.min_confidence and not best.candidate.tells_confidence else []),
        *([f"at most {input_tokens} input tokens, by its own tokenizer"] if counted else []),
    )
    return Route(
        TIERS[best.rank],
        best.name,
        best.bound,
        input_tokens,
        signals.output_tokens_bound + best.candidate.reasoning_tokens,
        reasons,
        tuple(refusals),
        stands_in_for,
        unavailable.get(best.name),
        measured=seconds is not None if by_its_time else None,
        predictor=None if predicted is None else predicted.version,
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
