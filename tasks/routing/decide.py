"""The decision on submitted items: a route or a death, chosen from their rows alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

from tierqueue.ledger.in_force.reusable_answers import ReuseKey
from tierqueue.ledger.in_force.surrogates import Audit
from tierqueue.ledger.lifecycle.deaths import AnswerWithoutCall, expired
from tierqueue.ledger.lifecycle.flows import due_at, name_of
from tierqueue.ledger.lifecycle.items import Death, NewItem, fallen
from tierqueue.ledger.lifecycle.routes import RoutedItem
from tierqueue.ledger.records import Item
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.condition import Condition
from tierqueue.router.errors import DeadLettered
from tierqueue.router.item import (
    NO_FALLBACK,
    Demands,
    Fallback,
    Latency,
    Risk,
    Sensitivity,
    Tier,
    WorkItem,
    strictest,
)
from tierqueue.router.lifecycle import State, Wait
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy import lanes
from tierqueue.router.policy.demands import resolve
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.policy.policy import Policy
from tierqueue.router.route import Route
from tierqueue.router.selection.evidence import probes
from tierqueue.router.signals import Prediction, measure
from tierqueue.tasks.routing.drawn_prompts import drawn
from tierqueue.tasks.routing.failover import unavailable
from tierqueue.tasks.routing.measurements import NOTHING_MEASURED, Measurements

NOTHING_PREDICTED: Mapping[str, Prediction] = {}


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was chosen for each of ``items``: a route, an answer without a call, or death."""

    items: Sequence[Item]
    routed: list[RoutedItem]
    deaths: list[Death]
    answered: list[AnswerWithoutCall] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)
    """Of items that are routed, and that a rule or a surrogate would have answered."""
    asked: list[ReuseKey] = field(default_factory=list)
    """Of items that are routed, and whose answers may answer others."""

    def those(self, ids: Collection[str]) -> "Decisions":
        """The same for these ids alone."""
        return Decisions(
            [item for item in self.items if item.id in ids],
            [chosen for chosen in self.routed if chosen.id in ids],
            [death for death in self.deaths if death.item_id in ids],
            [answered for answered in self.answered if answered.routed.id in ids],
            [audit for audit in self.audits if audit.item_id in ids],
            [asked for asked in self.asked if asked.item_id in ids],
        )


def choose_all(
    items: Sequence[Item],
    policy: Policy,
    now: int,
    counted: Mapping[str, Mapping[str, int]],
    known: Mapping[str, Condition] | None = None,
    measured: Measurements = NOTHING_MEASURED,
    predicted: Mapping[str, Prediction] = NOTHING_PREDICTED,
) -> Decisions:
    """Choose for every item ``now`` (epoch microseconds).

    ``counted``: item id -> deployment -> input tokens, where a tokenizer counted them. ``known``:
    the conditions of deployments. One that may be tried is chosen for one item as if it served.
    ``measured``: what the answers so far have shown; ``predicted``: what predictors say of items.
    """
    routed: list[RoutedItem] = []
    deaths: list[Death] = []
    away = {name: known[name] for name in unavailable(known or {}, policy)} if known else {}
    tried = {name for name, condition in away.items() if condition.wants_probe(now)}
    conditions = _conditions(now, away, tried, measured)
    alike: dict[tuple[Any, ...], RoutedItem] = {}
    for came in items:
        item = drawn(came, policy)
        alone = away or item.id in counted or item.id in predicted or item.prompt is not None
        kind = None if alone else _kind_of(item)
        if kind in alike:
            due = due_at(item.submitted_at, alike[kind].deadline, item.priority)
            routed.append(alike[kind].of_another(item.id, due, item.ready_at))
            continue
        work = work_item_of(item, policy, now)
        if work.demands.deadline is not None and work.demands.deadline < now:
            condition = (known or {}).get(item.deployment or "")
            deaths.append(expired(item.id, work.demands.deadline, now, condition))
            continue
        # What tokenizers counted has the task type's own instruction in it.
        exact = counted.get(item.id, {}) if item.prompt is None else {}
        signals = measure(work, exact, predicted.get(item.id))
        chosen = choose(work, signals, policy, conditions)
        if item.degraded is not None and work.only is not None and not isinstance(chosen, Route):
            if item.degraded["on"] == "ceiling":
                deaths.append(_nothing_below(work, item.degraded, chosen))
                continue
            # Back to where it came from: a fallback that leads nowhere is none.
            work = replace(work, only=None)
            chosen = choose(work, signals, policy, conditions)
        match chosen:
            case Route() as route:
                degraded = None if work.only is None else item.degraded
                waits = away[route.deployment].code if route.waits_for is not None else None
                outage = waits not in (None, "throttled")
                to = may_fall(item, "on_outage", 0, policy, now) if outage else None
                if to is not None:
                    below = choose(replace(work, only=to), signals, policy, conditions)
                    if isinstance(below, Route) and below.waits_for is None:
                        degraded = fallen(to, route.deployment, "outage")
                        route = below
                        waits = None
                routed.append(_routed(item, work, route, policy, degraded, waits))
                if kind is not None and route.lane is not Lane.BATCH:
                    alike[kind] = routed[-1]
                if route.deployment in tried:
                    tried.remove(route.deployment)
                    conditions = _conditions(now, away, tried, measured)
            case DeadLettered() as error:
                deaths.append(Death(item.id, error.reason, error.message, error.fields))
    return Decisions(items, routed, deaths)


_ITS_OWN = frozenset({"id", "priority", "submitted_at", "ready_at"})
"""What tells items of one kind apart: of their routes only the due time follows from these."""

_SHARED = itemgetter(*(at for at, name in enumerate(Item._fields) if name not in _ITS_OWN))


def _kind_of(item: Item) -> tuple[Any, ...] | None:
    """All that the choice for an item follows from, which many of a job have in common; ``None``
    for one that is looked at by itself: it has been somewhere before, or states what is no plain
    value.
    """
    kind = (*_SHARED(item), probes(item.id))
    try:
        hash(kind)
    except TypeError:
        return None
    return kind


def _conditions(
    now: int, away: Mapping[str, Condition], tried: Collection[str], measured: Measurements
) -> Conditions:
    held = {name: condition.in_words() for name, condition in away.items() if name not in tried}
    return replace(measured.conditions(now), unavailable=held)


def _nothing_below(item: WorkItem, degraded: Mapping[str, Any], found: DeadLettered) -> Death:
    """The end of an item that a ceiling sent to a tier where it cannot be done either."""
    refused = degraded.get("refused") or {}
    message = (
        f"item {item.id}: ceiling {refused.get('ceiling', 'unknown')} cannot cover it on"
        f" {degraded['from']}, and it has no route on {degraded['to']}: raise it and replay"
    )
    fields = {"item": item.id, **refused, "refusals": found.fields.get("refusals", [])}
    return Death(item.id, "cost_ceiling", message, fields)


def may_fall(item: Item, event: str, spent: int, policy: Policy, now: int) -> Tier | None:
    """The tier an item may fall back to on ``event`` (``on_throttle``, ``on_outage``), if any.

    Only where somebody allowed it in so many words, only once, and only where it can be done: what
    has no route there waits where it is. ``spent``: nano-dollars of the attempt that ends, as far
    as ceilings count them.
    """
    allowed = item.fallback or {}
    if item.degraded is not None or item.pinned is not None or event not in allowed:
        return None
    to = Tier(allowed[event])
    work = work_item_of(item, policy, now)
    work = replace(work, only=to, spent=NanoUSD(work.spent + spent))
    # Bounded by its bytes where a tokenizer would count: at worst it waits.
    found = choose(work, measure(work, {}), policy, Conditions(now=now))
    return to if isinstance(found, Route) else None


_OWN = ("risk", "sensitivity", "latency", "max_cost", "floor", "fallback", "budget")


def own_of(item: Item | NewItem) -> Mapping[str, Any]:
    """What an item states itself, by column name; what it does not state is left out.

    Its columns say so until it is first routed, and then what the policy made of it.
    """
    if isinstance(item, Item) and item.stated is not None:
        return item.stated
    columns = {name: getattr(item, name) for name in _OWN}
    return {name: value for name, value in columns.items() if value is not None}


def demands_of(stated: Item | NewItem, policy: Policy, now: int) -> Demands:
    """What an item demands, every default applied; ``now`` in epoch microseconds.

    A deadline, once resolved, is a promise: a change of the policy does not move it.
    """
    own = own_of(stated)
    demands = resolve(
        Demands(
            risk=Risk(own["risk"]) if "risk" in own else None,
            sensitivity=Sensitivity(own["sensitivity"]) if "sensitivity" in own else None,
            latency=Latency(own["latency"]) if "latency" in own else None,
            deadline=stated.deadline,
            max_cost=NanoUSD(own["max_cost"]) if "max_cost" in own else None,
            floor=Tier(own["floor"]) if "floor" in own else None,
            budget=own.get("budget"),
            fallback=Fallback.of_json(own.get("fallback")),
        ),
        stated.task,
        policy,
        now,
    )
    if stated.inherits is not None and demands.sensitivity is not None:
        # Never laxer than what it says itself, or the policy's default, for having predecessors.
        inherited = Sensitivity(stated.inherits)
        demands = replace(demands, sensitivity=strictest([demands.sensitivity, inherited]))
    return demands


def work_item_of(item: Item | NewItem, policy: Policy, now: int) -> WorkItem:
    """An item as the router sees it, every default applied; ``now`` in epoch microseconds.

    Nothing has happened yet to one that is not committed.
    """
    demands = demands_of(item, policy, now)
    if item.pinned is not None:
        demands = replace(demands, fallback=NO_FALLBACK)
    return WorkItem(
        id=item.id,
        task=item.task,
        demands=demands,
        prompt_bytes=item.prompt_bytes,
        messages=item.messages,
        output_limit=item.output_limit,
        min_confidence=item.min_confidence,
        pinned=None if item.pinned is None else Tier(item.pinned),
        images=tuple((width, height) for width, height in item.images or ()),
        **({} if isinstance(item, NewItem) else _history(item, demands)),
    )


def _history(item: Item, demands: Demands) -> dict[str, Any]:
    """What has become of an item, by the router's names for it."""
    return {
        "refused_by": tuple(Tier(name) for name in item.refused_by or ()),
        "too_small": item.too_small or {},
        "spent": NanoUSD(item.spent - item.attributed),
        "only": _fallen_to(item, demands),
        "candidate": item.candidate,
        "live": item.lane == "live",
        "called": item.calls > 0,
    }


def _lane(route: Route, item: Item, work: WorkItem) -> str | None:
    """What its row keeps of the lane: nothing where it goes live as anything does."""
    return item.lane if work.live else None if route.lane is Lane.LIVE else route.lane.value


def _fallen_to(item: Item, demands: Demands) -> Tier | None:
    """Where an item fell back to, as long as it still may."""
    if not item.degraded:
        return None
    to = Tier(item.degraded["to"])
    return to if getattr(demands.fallback, f"on_{item.degraded['on']}") is to else None


def _routed(
    item: Item,
    work: WorkItem,
    route: Route,
    policy: Policy,
    degraded: Mapping[str, Any] | None,
    reason: str | None,
) -> RoutedItem:
    demands, in_batch = work.demands, route.lane is Lane.BATCH
    deployment = policy.deployments[route.deployment]
    return RoutedItem(
        id=item.id,
        risk=demands.risk,
        sensitivity=demands.sensitivity,
        latency=demands.latency,
        deadline=demands.deadline,
        max_cost=demands.max_cost,
        floor=demands.floor,
        fallback=demands.fallback.to_json(),
        budget=demands.budget,
        stated=own_of(item),
        tier=route.tier.value,
        deployment=route.deployment,
        route={
            **route.to_json(),
            "terms": deployment.terms,
            **({"prompt": item.prompt} if item.prompt else {}),
            **({"redaction": deployment.redaction} if deployment.redaction else {}),
        },
        policy=policy.digest,
        bound=route.bound,
        token_bound=route.input_tokens + route.output_tokens,
        degraded=degraded,
        flow=name_of(
            urgent=demands.latency is Latency.INTERACTIVE,
            budget=demands.budget,
            job_id=item.job_id,
            task=item.task,
            deployment=route.deployment,
        ),
        due=due_at(item.submitted_at, demands.deadline, item.priority),
        reason=Wait.BATCH.value if in_batch else reason,
        lane=_lane(route, item, work),
        state=(State.WAITING if in_batch else State.ROUTED).value,
        ready_at=(demands.deadline or 0) - lanes.LEAST_US + 1 if in_batch else item.ready_at,
        prompt=item.prompt,
        prompt_bytes=item.prompt_bytes,
    )
