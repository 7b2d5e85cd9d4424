"""What becomes of submitted items: a route or a death, chosen from their rows alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tierqueue.ledger.items import Death, NewItem, fallen
from tierqueue.ledger.session import ItemRow
from tierqueue.router.choose import Choice, Route, Standing, choose
from tierqueue.router.errors import CostCeilingExceeded, DeadLettered
from tierqueue.router.item import (
    Demands,
    Fallback,
    Latency,
    Risk,
    Sensitivity,
    Tier,
    WorkItem,
    strictest,
)
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy import Policy, resolve
from tierqueue.router.signals import Signals, measure


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen for ``rows``: a route, as ``routes.route`` takes it, or death."""

    rows: Sequence[ItemRow]
    routed: list[dict[str, Any]]
    deaths: list[Death]

    def those(self, ids: Collection[str]) -> "Chosen":
        """The same for these ids alone."""
        return Chosen(
            [row for row in self.rows if row.id in ids],
            [each for each in self.routed if each["b_id"] in ids],
            [each for each in self.deaths if each.item_id in ids],
        )


def choose_all(
    rows: Sequence[ItemRow],
    policy: Policy,
    now: int,
    counted: Mapping[str, Mapping[str, int]],
) -> Chosen:
    """Choose for every row ``now`` (epoch microseconds).

    ``counted``: item id -> deployment -> input tokens, where a tokenizer counted them.
    """
    routed: list[dict[str, Any]] = []
    deaths: list[Death] = []
    standing = Standing(now=now)
    for row in rows:
        item = work_item_of(row, policy, now)
        if item.demands.deadline is not None and item.demands.deadline < now:
            message = f"item {item.id} missed its deadline before it was routed"
            deaths.append(Death(item.id, "deadline", message, {"item": item.id}))
            continue
        signals = measure(item, counted.get(item.id, {}))
        chosen, degraded = choose_or_fall_back(item, signals, policy, standing)
        match chosen:
            case Route() as route:
                routed.append({**_routed(item, route), "degraded": degraded or row.degraded})
            case DeadLettered() as error:
                deaths.append(Death(item.id, error.reason, error.message, error.fields))
    return Chosen(rows, routed, deaths)


def choose_or_fall_back(
    item: WorkItem, signals: Signals, policy: Policy, standing: Standing
) -> tuple[Choice, dict[str, str] | None]:
    """``choose``, and again for the tier that the item allows where its ``max_cost`` is too low.

    The second part says what it fell back from, where it did.
    """
    chosen, allowed = choose(item, signals, policy, standing), item.demands.fallback.on_ceiling
    if not isinstance(chosen, CostCeilingExceeded) or item.only is not None or allowed is None:
        return chosen, None
    degraded = fallen(allowed, chosen.fields["refusals"][0]["deployment"], "ceiling")
    return choose(replace(item, only=allowed), signals, policy, standing), degraded


def demands_of(stated: ItemRow | NewItem, policy: Policy, now: int) -> Demands:
    """What an item demands, every default applied; ``now`` in epoch microseconds."""
    demands = resolve(
        Demands(
            risk=Risk(stated.risk) if stated.risk else None,
            sensitivity=Sensitivity(stated.sensitivity) if stated.sensitivity else None,
            latency=Latency(stated.latency) if stated.latency else None,
            deadline=stated.deadline,
            max_cost=None if stated.max_cost is None else NanoUSD(stated.max_cost),
            floor=Tier(stated.floor) if stated.floor else None,
            budget=stated.budget,
            fallback=Fallback.of_json(stated.fallback),
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


def work_item_of(row: ItemRow, policy: Policy, now: int) -> WorkItem:
    """An item as the router sees it, every default applied; ``now`` in epoch microseconds."""
    return WorkItem(
        id=row.id,
        task=row.task,
        demands=demands_of(row, policy, now),
        prompt_bytes=row.prompt_bytes,
        messages=row.messages,
        output_limit=row.output_limit,
        refused_by=tuple(Tier(each) for each in row.refused_by or ()),
        spent=NanoUSD(row.spent),
        only=Tier(row.degraded["to"]) if row.degraded else None,
    )


def _routed(item: WorkItem, route: Route) -> dict[str, Any]:
    demands = item.demands
    return {
        "b_id": item.id,
        "risk": demands.risk,
        "sensitivity": demands.sensitivity,
        "latency": demands.latency,
        "deadline": demands.deadline,
        "max_cost": demands.max_cost,
        "floor": demands.floor,
        "fallback": demands.fallback.to_json(),
        "budget": demands.budget,
        "tier": route.tier.value,
        "deployment": route.deployment,
        "route": route.to_json(),
        "bound": route.bound,
        "token_bound": route.input_tokens + route.output_tokens,
    }
