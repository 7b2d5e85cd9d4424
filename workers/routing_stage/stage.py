"""The routing stage: submitted -> routed -> slices on the tiers' queues, and the tick.

It looks when a wake says so and by itself: whatever the broker loses, the next look finds. Many
routing stages may run side by side; each takes rows that no other has locked.
"""

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import structlog

from tierqueue.ledger.ceilings import books
from tierqueue.ledger.in_force import conditions, evidence, pauses, policies, tier_concurrency
from tierqueue.ledger.lifecycle import batches, routes
from tierqueue.ledger.lifecycle.items import die
from tierqueue.ledger.lifecycle.queue_depths import ahead as queue_ahead
from tierqueue.ledger.results import promises
from tierqueue.ledger.results.promises import Ends, Promise
from tierqueue.ledger.session import Ledger, Transaction, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.policy import Policy
from tierqueue.router.selection.fitting import Queue
from tierqueue.tasks.broker.slices import Slice, cut
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.routing.decide import NOTHING_MEASURED, Chosen, Measured, choose_all
from tierqueue.tasks.routing.failover import Conditions, Failover
from tierqueue.tasks.routing.token_counter import TokenCounter, countable
from tierqueue.workers.maintenance.resend import Sweep
from tierqueue.workers.routing_stage.filling import Fill
from tierqueue.workers.routing_stage.surrogates import BelowTheTiers

_log = structlog.get_logger(__name__)

BATCH = 512
"""Most items routed in one transaction."""

TICK = 0.5
"""Seconds between two sweeps for what was lost, and between two looks when nothing happens."""

BUSY = 0.05
"""Seconds between two ticks while work waits for capacity in a tier's queue."""

GATHER = 0.030
"""Seconds after a look that found work in which more gathers for the next."""

_RENEWED = (State.QUEUED, State.ROUTED)
"""Where items may stay for long, of a tier that is paused, full or gone."""

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
        self._counter = TokenCounter(policy)
        self._below = BelowTheTiers(policy)
        self._failover = Failover(policy, self._resend)
        self._fill = Fill(policy, self._resend)
        self._sweep = Sweep(ledger, policy, send, delivery, self._resend)
        self._awake = awake
        self._owed: SimpleQueue[Ends] = SimpleQueue()
        self._in_force = True
        self._to_renew = [(state, tier) for state in _RENEWED for tier in TIERS]
        self._renewed_to: policies.Cursor | None = None
        self._wanted = threading.Event()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Put the policy in force, its ceilings too; raises when the ledger cannot be asked."""
        with self._ledger.write() as connection:
            now = database_now(connection)
            books.seed(connection, self._policy.ceilings, now)
            policies.start(connection, self._policy.digest, now)
            batches.route_anew(connection)

    def wake(self) -> None:
        """Look soon; returns at once."""
        self._wanted.set()

    def ended(self, ends: Ends) -> None:
        """Look soon, and tell producers of items that ended elsewhere in this process."""
        self._owed.put(ends)
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
                self._tell()
                if time.monotonic() - swept >= TICK:
                    swept = time.monotonic()
                    self._sweep()
                    self._suspected = self._ticked = True
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
        self._tell()

    def _tell(self) -> None:
        while not self._owed.empty():
            self._delivery.ended(self._owed.get())

    def told(self) -> dict[str, Any]:
        """What the heartbeat says of this stage."""
        return {
            "counts": {"resent": self._sweep.resent},
            "moments": {"looked": self._looked_at, "superseded": self._superseded_at},
            "policy": self._policy.digest,
        }

    _backlog = False
    _suspected = True
    """Whether there may be suspects: they are few, so each tick asks, not each look."""
    _ticked = True
    """Whether deployments that cannot serve are to be looked after, which each tick does."""
    _measured = NOTHING_MEASURED
    """As the last tick found it: half a second changes little of it."""
    _moved = False
    _looked_at = 0
    _superseded_at = 0

    def look(self) -> bool:
        """Route one batch and fill the tiers' queues; returns whether more is there to route."""
        self._checkpoint("before_route")
        # Choosing takes long where writers take turns, counting everywhere: nobody waits for it.
        early = self._ledger.one_writer or bool(self._counter) or bool(self._below)
        ahead = self._choose_ahead() if early else None
        with self._ledger.write() as connection:
            now = database_now(connection)
            if self._superseded(connection):
                return False
            anew = self._outdated(connection)
            due_at = routes.next_due(connection)
            woken = 0 if due_at is None or due_at > now else routes.wake_due(connection, now)
            known = conditions.by_deployment(connection)
            moved = self._failover.tick(connection, known, now) if self._ticked else 0
            if self._ticked:
                self._below.judge(connection, now)
                self._measured = self._measure(connection)
            self._ticked = False
            if ahead is None:
                submitted = self._fill.submitted(connection, BATCH, lock=True)
                chosen = choose_all(submitted, self._policy, now, {}, known, self._measured)
            else:
                chosen = ahead.those(routes.still_submitted(connection, ahead.items))
            routes.route(connection, chosen.routed)
            ends = die(connection, chosen.deaths, now)
            answers = self._below.write(connection, chosen, now)
            told = promises.unkept(connection, [item.id for item in chosen.routed])
            slices, full = self._queue(connection, now, known)
            waiting = due_at is not None and not woken
        self._checkpoint("after_route")
        for tier, slice_ in slices:
            self._send(tier, slice_)
        self._checkpoint("after_send")
        self._received([*told, *ends.owed, *answers.owed])
        self._delivery.ended(ends)
        self._delivery.ended(answers)
        self._backlog = full or waiting
        self._moved = bool(chosen.items or slices or woken or anew or moved)
        self._looked_at = now
        return len(chosen.items) == BATCH or anew

    def _measure(self, connection: Transaction) -> Measured:
        """What the answers so far have shown, and how much waits for each tier."""
        known = evidence.by_task(connection)
        if not known:
            return NOTHING_MEASURED
        in_force, ahead = tier_concurrency.all_concurrency(connection), queue_ahead(connection)
        queues = {
            tier: Queue(ahead[tier], in_force.get(tier, self._policy.tiers[tier].concurrency))
            for tier in TIERS
        }
        return Measured(known, queues)

    def _superseded(self, connection: Transaction) -> bool:
        """Whether another routing stage has started since with another policy."""
        in_force = policies.in_force(connection)
        superseded = in_force not in (None, self._policy.digest)
        if superseded and self._in_force:
            _log.error("policy_superseded", policy=self._policy.digest, in_force=in_force)
            self._backlog = self._moved = False
            self._superseded_at = database_now(connection)
        elif not superseded:
            self._superseded_at = 0
        self._in_force = not superseded
        return superseded

    def _outdated(self, connection: Transaction) -> bool:
        """Route anew a part of what was routed under another policy; returns whether any is left.

        Once after the start, a tier after the other: whatever comes later is found on its way.
        """
        if not self._to_renew:
            return False
        state, tier = self._to_renew[0]
        self._renewed_to = policies.route_tier_anew(
            connection, state, tier, self._renewed_to, BATCH
        )
        if self._renewed_to is None:
            self._to_renew = self._to_renew[1:]
        return bool(self._to_renew)

    def _choose_ahead(self) -> Chosen:
        with self._ledger.read() as connection:
            now = database_now(connection)
            submitted = self._fill.submitted(connection, BATCH, lock=False)
            if self._counter:
                submitted = countable(submitted)
            ids = [item.id for item in submitted if self._counter or self._below.wants(item.task)]
            arguments = routes.arguments(connection, ids)
            known = conditions.by_deployment(connection)
            out_of_service = self._below.out_of_service(connection)
        task_of = {item.id: item.task for item in submitted}
        counted = {key: self._counter.count(task_of[key], arguments[key]) for key in arguments}
        chosen = choose_all(submitted, self._policy, now, counted, known, self._measured)
        return self._below.serve(chosen, arguments, out_of_service)

    def _queue(
        self, connection: Transaction, now: int, known: Conditions
    ) -> tuple[list[tuple[Tier, Slice]], bool]:
        """Queue what there is capacity for; returns the slices, and whether a queue is full."""
        paused = pauses.in_force(connection)
        # Queued while somebody paused them.
        pauses.pull_back(connection, paused)
        trials = self._failover.trials(connection, known, now, paused)
        tried = [(Tier(item.tier), slice_) for item in trials for slice_ in cut([item], 1)]
        held = self._failover.held(known, now)
        filled, full, self._suspected = self._fill.tiers(
            connection, now, paused, held, suspected=self._suspected
        )
        return [*tried, *filled], full
