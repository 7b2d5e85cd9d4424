"""A slice on its way through a tier worker: limiter, claim, calls; what is not claimed is left."""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from secrets import token_hex

import structlog

from tierqueue.ledger.in_force import conditions
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.lifecycle.claims import Claim, claim, read
from tierqueue.ledger.records import Fence
from tierqueue.ledger.results import promises
from tierqueue.ledger.results.promises import Promise
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.condition import Fault
from tierqueue.router.errors import SpendingRefused
from tierqueue.router.lifecycle import BUDGET_LIMITS, Wait
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.duration import MINUTE_US, microseconds
from tierqueue.tasks.broker.slices import Slice, SliceItem
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.routing.side_by_side import Policies
from tierqueue.workers.caller import Caller
from tierqueue.workers.engines.stations import Station
from tierqueue.workers.limits import call_recovery
from tierqueue.workers.limits.bounds import Bounds, CallUsage, Slot, SlotRequest, bounds_of
from tierqueue.workers.limits.breaker import Breaker
from tierqueue.workers.limits.limiter import Limiter
from tierqueue.workers.limits.line import Line
from tierqueue.workers.limits.pool import Gate, bound_of
from tierqueue.workers.limits.rates import OperatorLimits
from tierqueue.workers.limits.sharing import sharing
from tierqueue.workers.limits.slice_grants import SliceGrant, SlotRefusal
from tierqueue.workers.process.checkpoint import Checkpoint
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.verdicts import log_change

_log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 5.0
"""Seconds a slice waits for calls in flight to end before it gives its items back."""

TICK_SECONDS = 1.0
"""Seconds between two checks of the tier's bound while a slice waits for a place."""

BUSY_SECONDS = 0.2
"""Seconds between two checks for capacity that calls of other workers take."""

FEW = 4
"""Items of a slice that are asked for next where its rate is used up."""

SOONEST_SECONDS = 0.02
"""Seconds at the least until a rate that is used up is asked for again."""

SERVED_ELSEWHERE_US = MINUTE_US
"""Microseconds for which a worker without a key believes that another one has it."""


@dataclass(frozen=True, slots=True)
class SliceStart:
    """Which items are no longer left, the event of their last settle, why not the others now."""

    items: Collection[str]
    settled: threading.Event | None
    refused: SlotRefusal | None


class Executor:
    """Takes slices from claim to settlement. One a process; Celery's threads call ``run``.

    ``concurrency`` says the tier's calls in flight in force over all workers, ``chosen`` the
    limits that operators set, ``started`` tells Flower.
    """

    def __init__(
        self,
        *,
        worker: str,
        ledger: Ledger,
        policies: Policies,
        stations: Mapping[str, Station],
        limiter: Limiter,
        gate: Gate,
        loop: EventLoopThread,
        caller: Caller,
        breaker: Breaker,
        keyless: Collection[str],
        delivery: Delivery,
        started: Callable[[Sequence[Promise]], None],
        concurrency: Callable[[], int | None],
        chosen: Callable[[], OperatorLimits],
        lease_seconds: float,
        checkpoint: Checkpoint,
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._policies = policies
        self._stations = stations
        self._limiter = limiter
        self._gate = gate
        self._loop = loop
        self._caller = caller
        self._breaker = breaker
        self._keyless = keyless
        self._delivery = delivery
        self._started = started
        self._concurrency = concurrency
        self._chosen = chosen
        self._lease_us = microseconds(lease_seconds)
        self._checkpoint = checkpoint
        self._draining = threading.Event()
        self._freed = threading.Event()
        self._line = Line(lambda: gate.size)
        self.claimed_at = 0

    @property
    def draining(self) -> bool:
        """Whether nothing more is claimed."""
        return self._draining.is_set()

    def drain(self) -> None:
        """Claim nothing more; what has not started is given back as its slice comes up."""
        self._draining.set()

    def use(
        self, policies: Policies, stations: Mapping[str, Station], keyless: Collection[str]
    ) -> None:
        """Go by these from the next claim on, and work with these from the next slice on."""
        self._policies, self._stations, self._keyless = policies, stations, keyless

    def run(self, work: Slice) -> dict[str, int]:
        """Do what can be done of a slice now; returns when each claimed item is settled.

        Items that are not claimed are left in the ledger, given back or postponed: never lost.
        Returns how many ended as what, and ``left``: how many were not called.
        """
        station = self._stations.get(work.deployment)
        if station is None:
            self._give_back(work.items.values(), self._not_served(work))
            return {"left": len(work.items)}
        left = dict(work.items)
        outcomes: Counter[str] = Counter()
        pending: list[threading.Event] = []
        refused: SlotRefusal | None = None
        patient_until = time.monotonic() + PATIENCE_SECONDS
        most = len(left)
        with self._line.place(work.deployment) as first_in_line:
            while left and not self._draining.is_set():
                places = self._places(min(most, len(left)), urgent=work.urgent)
                if not places:
                    refused = self._full(refused, urgent=work.urgent)
                    break
                self._freed.clear()
                some = {key: left[key] for key in list(left)[:places]}
                begun = self._walk(station, some, places, outcomes, urgent=work.urgent)
                for key in begun.items:
                    del left[key]
                if begun.settled is not None:
                    pending.append(begun.settled)
                refused = begun.refused
                if refused is None:
                    most *= 2
                    continue
                if time.monotonic() > patient_until:
                    break
                if not refused.busy and not (refused.near and first_in_line()):
                    break
                if refused.rate:
                    # Of a rate that is used up only a little has headroom: no places wait with it.
                    most = FEW
                self._freed.wait(min(BUSY_SECONDS, refused.wait) if refused.busy else refused.wait)
        if left:
            self._give_back(left.values(), refused)
        for settled in pending:
            settled.wait()
        return {**outcomes, **({"left": len(left)} if left else {})}

    def _places(self, most: int, *, urgent: bool) -> int:
        """Take places at the gate; none after ``PATIENCE_SECONDS`` seconds without capacity."""

        async def take() -> int:
            # The time limit stands on the loop: one from outside could miss places just given.
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    return await self._gate.acquire(most, urgent=urgent)
            except TimeoutError:
                return 0

        self._concurrency()
        # Mostly there is no need to go by the event loop, which takes a while to come to it.
        if self._gate.enter(most, urgent=urgent):
            return most
        places = self._loop.submit(take())
        while True:
            with suppress(TimeoutError):
                return places.result(TICK_SECONDS)
            # The gate goes by what was last read of the tier's bound, which may have been raised.
            self._concurrency()
            self._gate.release(0)

    def _full(self, refused: SlotRefusal | None, *, urgent: bool) -> SlotRefusal | None:
        """Why there was no place: the tier's bound, where that is what the gate goes by."""
        bound = bound_of(self._concurrency(), urgent=urgent)
        full = bound is not None and self._gate.in_flight >= bound
        return SlotRefusal(BUSY_SECONDS, Wait.TIER_IN_FLIGHT) if full else refused

    def _walk(
        self,
        station: Station,
        items: Mapping[str, SliceItem],
        places: int,
        outcomes: Counter[str],
        *,
        urgent: bool,
    ) -> SliceStart:
        """Limit, claim, call, validate, settle: all of it for what is granted, nothing for others.

        Returns once the calls are under way; each answer is validated and settled as it comes.
        """
        granted = SliceGrant({}, [], None)
        claims: list[Claim] = []
        try:
            granted = self._limit(station.deployment, items, urgent=urgent)
            claims = self._claim(station, {key: items[key].fence for key in granted.slots})
            settled = self._caller.start(
                station, claims, granted.slots, granted.send_by, self._freed.set, outcomes
            )
            if granted.never:
                self._give_back(granted.never, SlotRefusal(60.0, Wait.TOKEN_LIMIT))
            begun = {*granted.slots, *(item.id for item in granted.never)}
            for refused, waiting in granted.aside.items():
                self._give_back(waiting, refused)
                begun.update(item.id for item in waiting)
            return SliceStart(begun, settled, granted.refused)
        except SpendingRefused as error:
            _log.warning("spending_refused", why=error.message)
            return SliceStart([], None, SlotRefusal(1.0, Wait.LIMITER_AWAY))
        finally:
            claimed = {claim.item.id for claim in claims}
            unused = [slot for key, slot in granted.slots.items() if key not in claimed]
            # Before the places: without a slot a place is no use.
            try:
                if unused:
                    self._limiter.release_ended(
                        bounds_of(station.deployment, None),
                        [CallUsage(slot, sent=False) for slot in unused],
                    )
            finally:
                self._gate.release(places - len(claimed))

    def _limit(
        self, deployment: Deployment, items: Mapping[str, SliceItem], *, urgent: bool
    ) -> SliceGrant:
        """Ask whether the deployment serves, and the limiter for a slot for each item's call."""
        held = self._breaker.held(deployment.name, items)
        if held is not None and held.probe is None:
            return SliceGrant({}, [], SlotRefusal(held.wait, held.code))
        asked = [item for item in items.values() if held is None or item.id == held.probe]
        # A slice may come twice: who finds an item claimed gives back its own slot only.
        own = token_hex(6)
        item_of = {f"{item.id}:{item.fence + 1}:{own}": item for item in asked}
        chosen = self._chosen()
        bounds = replace(self._bounds(deployment, chosen, urgent=urgent), trial=held is not None)
        slots: dict[str, Slot] = {}
        never: list[SliceItem] = []
        aside: dict[SlotRefusal, list[SliceItem]] = {}
        send_by = math.inf
        policy, ids_of = self._policies.own, {slot: item.id for slot, item in item_of.items()}
        for shared, ids in sharing(self._ledger, policy, deployment, chosen, ids_of):
            wants = [_want(deployment, slot, item_of[slot]) for slot in ids]
            within = replace(bounds, shared=shared)
            try:
                grant = call_recovery.grant(self._ledger, self._limiter, within, wants)
            except SpendingRefused as error:
                if not slots:
                    raise
                _log.warning("spending_refused", why=error.message)
                return SliceGrant(slots, never, SlotRefusal(1.0, Wait.LIMITER_AWAY), send_by, aside)
            slots |= {item_of[slot.id].id: slot for slot in grant.slots(wants)}
            never += [item_of[slot] for slot in grant.never]
            send_by = min(send_by, grant.send_by)
            waiting = [slot for slot in ids if slot not in {*grant.granted, *grant.never}]
            of_budget = [limit for limit in grant.full if limit in BUDGET_LIMITS]
            if waiting and of_budget:
                # Named as a wait for the deployment's rate, it would count against all who wait.
                refused = SlotRefusal(max(grant.retry_after, BUSY_SECONDS), of_budget[0])
                aside.setdefault(refused, []).extend(item_of[slot] for slot in waiting)
            elif waiting:
                wait = max(grant.retry_after, SOONEST_SECONDS)
                rate = not grant.busy and not grant.forgotten
                refused = SlotRefusal(wait, grant.full[0], busy=grant.busy, rate=rate)
                return SliceGrant(slots, never, refused, send_by, aside)
        return SliceGrant(slots, never, None, send_by, aside)

    def _not_served(self, work: Slice) -> SlotRefusal:
        """Why a deployment's items are given back that this process has no engine for."""
        if work.deployment in self._keyless:
            self.report_keyless(work.deployment, *work.items)
            return SlotRefusal(1.0, "no_key")
        _log.error("deployment_not_served", deployment=work.deployment, worker=self._worker)
        return SlotRefusal(5.0, Wait.NOT_SERVED)

    def report_keyless(self, deployment: str, *items: str) -> None:
        """Another deployment is to take over; unless a worker that has the key is served."""
        with self._ledger.write() as connection:
            at = database_now(connection)
            served = conditions.served_at(connection, deployment)
            if served is not None and at - served < SERVED_ELSEWHERE_US:
                return
            detail = f"{deployment}: its worker has no key for it"
            item = (*items, self._worker)[0]
            fault = Fault(item=item, begun=at, at=at, code="no_key", detail=detail)
            changes = conditions.note(connection, {deployment: [fault]})
        for change in changes:
            log_change(change)

    def _bounds(self, deployment: Deployment, chosen: OperatorLimits, *, urgent: bool) -> Bounds:
        tier = bound_of(self._concurrency(), urgent=urgent)
        name = deployment.name
        bounds = bounds_of(deployment, tier, chosen.limits.get(name), chosen.since.get(name, 0))
        return replace(bounds, in_flight=bound_of(bounds.in_flight, urgent=urgent))

    def _claim(self, station: Station, wanted: Mapping[str, Fence]) -> list[Claim]:
        if not wanted:
            return []
        claimant = station.claimant(self._worker, lease_us=self._lease_us)
        self._checkpoint("before_claim")
        with self._ledger.ask() as connection:
            known = read(connection, wanted)
            promised = promises.unfulfilled(connection, list(wanted))
        rows = [one.item for one in known.values()]
        with self._ledger.write() as connection:
            now = database_now(connection)
            held = self._policies.held_back(rows, station.deployment, now)
            claims = claim(connection, claimant, wanted, known, now, held)
        self._checkpoint("after_claim")
        if claims.claimed:
            self.claimed_at = claims.claimed[-1].started_at
        ids = {claimed.item.id for claimed in claims.claimed}
        self._started([promise for promise in promised if promise.item_id in ids])
        self._delivery.ended(claims.ends)
        return claims.claimed

    def _give_back(self, items: Iterable[SliceItem], refused: SlotRefusal | None) -> None:
        """Hand unclaimed items back: ready at once, or waiting for as long as they were refused."""
        fences = {item.id: item.fence for item in items}
        with self._ledger.write() as connection:
            until = None
            if refused is not None:
                until = database_now(connection) + microseconds(max(refused.wait, BUSY_SECONDS))
            routes.give_back(connection, fences, until, str(refused.code) if refused else None)


def _want(deployment: Deployment, slot: str, item: SliceItem) -> SlotRequest:
    """What an item's call may cost; where nothing is known of its output, all counts as input."""
    output = item.output_limit + deployment.reasoning_tokens if item.output_limit else 0
    return SlotRequest(slot, item.token_bound, min(output, item.token_bound), item.task)
