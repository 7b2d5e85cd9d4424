"""The routing stage: submitted -> routed -> slices on the tiers' queues, and the tick.

It looks when a wake says so and by itself: whatever the broker loses, the next look finds. Many
routing stages may run side by side; each takes rows that no other has locked.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import structlog

from tierqueue.ledger import ceilings, pauses, promises, routes, suspects, tiers
from tierqueue.ledger.items import Death, die, fallen
from tierqueue.ledger.promises import Ending, Promise
from tierqueue.ledger.session import ItemRow, Ledger, Transaction, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.router.choose import Route, Standing, choose
from tierqueue.router.errors import CostCeilingExceeded, DeadLettered
from tierqueue.router.item import (
    TIERS,
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
from tierqueue.router.signals import measure
from tierqueue.tasks.delivery import Delivery
from tierqueue.tasks.slices import Slice, cut
from tierqueue.tasks.sweep import Sweep

_log = structlog.get_logger(__name__)

BATCH = 512
"""Most items routed in one transaction."""

TICK = 0.5
"""Seconds between two sweeps for what was lost, and between two looks when nothing happens."""

BUSY = 0.05
"""Seconds between two looks while work waits for room in a tier's queue."""

GATHER = 0.030
"""Seconds after a look that found work in which more gathers for the next."""

Send = Callable[[Tier, Slice], None]
Received = Callable[[Sequence[Promise]], None]


def _to_nobody(_: bool) -> None:
    """A routing stage that says to nobody whether it is awake."""


class RoutingStage:
    """Routes what was submitted, keeps each tier's queue a little deeper than its capacity.

    ``send`` publishes one slice, ``received`` tells Flower, ``awake`` tells producers whether a
    wake would change anything. ``resend`` is how many seconds a slice may stay unclaimed.
    ``checkpoint`` is called with the name of each point at which a test may end the process and
    does nothing otherwise.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        policy: Policy,
        send: Send,
        delivery: Delivery,
        received: Received,
        resend: float,
        checkpoint: Callable[[str], None],
        awake: Callable[[bool], None] = _to_nobody,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._send = send
        self._delivery = delivery
        self._received = received
        self._resend = round(resend * 1_000_000)
        self._checkpoint = checkpoint
        self._sweep = Sweep(ledger, policy, send, delivery, self._resend)
        self._awake = awake
        self._owed: SimpleQueue[tuple[Sequence[Ending], Sequence[Promise]]] = SimpleQueue()
        self._wanted = threading.Event()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Bring the policy's ceilings into the ledger; raises when the ledger cannot be asked."""
        with self._ledger.write() as connection:
            ceilings.seed(connection, self._policy.ceilings, database_now(connection))

    def wake(self) -> None:
        """Look soon; returns at once."""
        self._wanted.set()

    def ended(self, endings: Sequence[Ending], owed: Sequence[Promise]) -> None:
        """Tell producers soon of items that ended elsewhere in this process; returns at once."""
        if endings:
            self._owed.put((endings, owed))
            self._wanted.set()

    def stop(self) -> None:
        """End ``run`` after the look under way."""
        self._stopping.set()
        self._wanted.set()

    def run(self) -> None:
        """Look and sweep until ``stop``. A ledger that cannot be asked is tried again each tick."""
        swept = 0.0
        awake = False
        while not self._stopping.is_set():
            self._wanted.clear()
            pause = TICK
            try:
                while not self._owed.empty():
                    self._delivery.ended(*self._owed.get())
                if time.monotonic() - swept >= TICK:
                    swept = time.monotonic()
                    self._sweep()
                    self._suspected = True
                more = self.look()
                if self._moved:
                    pause = 0.0 if more else GATHER
                    self._awake(True)
                elif awake:
                    # Whoever saw us awake sent no wake: one look more, now that we are not.
                    pause = 0.0
                    self._awake(False)
                else:
                    pause = BUSY if self._backlog else TICK
                awake = self._moved
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look tries again
                if not unreachable(error):
                    _log.exception("look_failed", error=type(error).__name__)
                else:
                    _log.warning("ledger_unreachable", error=type(error).__name__)
            if awake:
                self._stopping.wait(pause)
            else:
                self._wanted.wait(pause)

    def told(self) -> dict[str, Any]:
        """What the heartbeat says of this stage."""
        return {"counts": {"resent": self._sweep.resent}, "moments": {"looked": self._looked_at}}

    _backlog = False
    _suspected = True
    """Whether there may be suspects: they are few, so each tick asks, not each look."""
    _moved = False
    _looked_at = 0

    def look(self) -> bool:
        """Route one batch and fill the tiers' queues; returns whether more is there to route."""
        self._checkpoint("before_route")
        # Choosing takes long, and where writers take turns nobody else could write meanwhile.
        ahead = self._choose_ahead() if self._ledger.one_writer else None
        with self._ledger.write() as connection:
            now = database_now(connection)
            due_at = routes.next_due(connection)
            woken = 0 if due_at is None or due_at > now else routes.wake_due(connection, now)
            if ahead is None:
                chosen = self._choose(routes.submitted(connection, BATCH), now)
            else:
                chosen = ahead.those(routes.still_submitted(connection, ahead.fences))
            routes.route(connection, chosen.routed)
            ended, routed = die(connection, chosen.deaths, now), chosen.routed
            told = promises.unkept(connection, [row["b_id"] for row in routed])
            owed = promises.unkept(connection, [each.item_id for each in ended])
            slices, full = self._fill(connection, now)
            waiting = due_at is not None and not woken
        self._checkpoint("after_route")
        for tier, each in slices:
            self._send(tier, each)
        self._checkpoint("after_send")
        self._received([*told, *owed])
        self._delivery.ended(ended, owed)
        self._backlog = full or waiting
        self._moved = bool(chosen.fences or slices or woken)
        self._looked_at = now
        return len(chosen.fences) == BATCH

    def _choose_ahead(self) -> "_Chosen":
        with self._ledger.read() as connection:
            now, rows = database_now(connection), routes.submitted(connection, BATCH)
        return self._choose(rows, now)

    def _choose(self, rows: Sequence[ItemRow], now: int) -> "_Chosen":
        routed: list[dict[str, Any]] = []
        deaths: list[Death] = []
        standing = Standing(now=now)
        for row in rows:
            item = work_item_of(row, self._policy, now)
            if item.demands.deadline is not None and item.demands.deadline < now:
                message = f"item {item.id} missed its deadline before it was routed"
                deaths.append(Death(item.id, "deadline", message, {"item": item.id}))
                continue
            chosen, degraded = choose(item, measure(item), self._policy, standing), row.degraded
            allowed = item.demands.fallback.on_ceiling
            if isinstance(chosen, CostCeilingExceeded) and degraded is None and allowed:
                degraded = fallen(allowed, chosen.fields["refusals"][0]["deployment"], "ceiling")
                again = replace(item, only=allowed)
                chosen = choose(again, measure(item), self._policy, standing)
            match chosen:
                case Route() as route:
                    routed.append({**_routed(item, route), "degraded": degraded})
                case DeadLettered() as error:
                    deaths.append(Death(item.id, error.reason, error.message, error.fields))
        return _Chosen({row.id: row.fence for row in rows}, routed, deaths)

    def _fill(self, connection: Transaction, now: int) -> tuple[list[tuple[Tier, Slice]], bool]:
        """Queue what there is room for; returns the slices to send, and whether a queue is full."""
        filled: list[tuple[Tier, Slice]] = []
        full = False
        in_force = tiers.all_concurrency(connection)
        paused = pauses.standing(connection)
        # Queued while somebody paused them.
        pauses.pull_back(connection, paused)
        fillings = routes.fillings(connection)
        last = suspects.last_chance(self._policy.retry.poison)
        again_at = now + self._resend
        open_tiers: list[Tier] = []
        for tier in TIERS:
            if any((each.kind, each.name) == ("tier", tier) for each in paused):
                continue
            stated = self._policy.tiers[tier]
            room = depth(in_force.get(tier, stated.concurrency), stated.slice)
            room -= fillings[tier].queued
            if room < stated.slice:
                # Room for whole slices is waited for: a message costs what many items cost.
                full = True
                continue
            if not fillings[tier].routed:
                continue
            open_tiers.append(tier)
            room -= room % stated.slice
            ready = routes.queue(connection, tier, room, again_at, paused, last)
            full = full or len(ready) == room
            filled += [(tier, each) for each in cut(ready, stated.slice)]
        if open_tiers and self._suspected:
            alone, more = suspects.queue(connection, open_tiers, last, again_at, paused)
            self._suspected = more
            filled += [(Tier(tier), each) for tier, item in alone for each in cut([item], 1)]
            full = full or more
        return filled, full


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What was chosen for items (id -> fence): a route, as ``routes.route`` takes it, or death."""

    fences: dict[str, int]
    routed: list[dict[str, Any]]
    deaths: list[Death]

    def those(self, ids: Collection[str]) -> "_Chosen":
        """The same for these ids alone."""
        return _Chosen(
            {key: fence for key, fence in self.fences.items() if key in ids},
            [each for each in self.routed if each["b_id"] in ids],
            [each for each in self.deaths if each.item_id in ids],
        )


def depth(concurrency: int, slice_size: int) -> int:
    """How many items of a tier may be queued: what can run, and the slices that come next."""
    return 0 if concurrency == 0 else concurrency + 4 * slice_size


def work_item_of(row: ItemRow, policy: Policy, now: int) -> WorkItem:
    """An item as the router sees it, every default applied; ``now`` in epoch microseconds."""
    stated = Demands(
        risk=row.risk and Risk(row.risk),
        sensitivity=row.sensitivity and Sensitivity(row.sensitivity),
        latency=row.latency and Latency(row.latency),
        deadline=row.deadline,
        max_cost=row.max_cost,
        floor=row.floor and Tier(row.floor),
        budget=row.budget,
        fallback=Fallback.of_json(row.fallback),
    )
    demands = resolve(stated, row.task, policy, now)
    if row.inherits is not None and demands.sensitivity is not None:
        # Never laxer than what it says itself, or the policy's default, for having predecessors.
        inherited = Sensitivity(row.inherits)
        demands = replace(demands, sensitivity=strictest([demands.sensitivity, inherited]))
    return WorkItem(
        id=row.id,
        task=row.task,
        demands=demands,
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
