"""The routing stage: submitted -> routed -> slices on the tiers' queues, and the tick.

It goes a round when a wake says so and by itself: whatever the broker loses, the next one finds.
Many routing stages may run side by side; each takes rows that no other has locked.
"""

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import structlog

from tierqueue.ledger.ceilings import books
from tierqueue.ledger.in_force import conditions, pauses, policies, prompts
from tierqueue.ledger.lifecycle import batches, routes
from tierqueue.ledger.lifecycle.items import die
from tierqueue.ledger.monitoring import outset
from tierqueue.ledger.monitoring.outset import Outset
from tierqueue.ledger.results import promises
from tierqueue.ledger.results.promises import Ends, Promise
from tierqueue.ledger.session import Ledger, Transaction, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import TierqueueError
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.lifecycle import State
from tierqueue.router.policy.duration import microseconds
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.tasks.broker.slices import Slice, cut
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.routing.decide import Decisions, choose_all
from tierqueue.tasks.routing.failover import Conditions, Failover
from tierqueue.tasks.routing.measurements import NOTHING_MEASURED, measure
from tierqueue.tasks.routing.predictors import Predictors
from tierqueue.tasks.routing.side_by_side import ROLL_OUT_US
from tierqueue.tasks.routing.token_counter import TokenCounter, countable
from tierqueue.workers.limits.rates import limits_budgets
from tierqueue.workers.maintenance.resend import Sweep
from tierqueue.workers.process.checkpoint import Checkpoint
from tierqueue.workers.routing_stage.below_the_tiers import BelowTheTiers
from tierqueue.workers.routing_stage.filling import Fill
from tierqueue.workers.routing_stage.pace import TICK_SECONDS, Pace

_log = structlog.get_logger(__name__)

BATCH = 512
"""Most items routed in one transaction."""

_SOON_US = microseconds(TICK_SECONDS)
"""Microseconds within which what waits for its time is looked for more often."""

_RENEWED = (State.QUEUED, State.ROUTED)
"""Where items may stay for long, of a tier that is paused, full or gone."""

Send = Callable[[Tier, Slice], None]
Received = Callable[[Sequence[Promise]], None]


def _to_nobody(_: bool) -> None:
    """A routing stage that says to nobody whether it is awake."""


def _nobody_goes_by_it(_: Policy) -> None:
    """A routing stage alone in its process."""


class RoutingStage:
    """Routes what was submitted, keeps each tier's queue a little deeper than its capacity.

    ``send`` publishes one slice, ``received`` tells Flower, ``awake`` tells producers whether a
    wake would change anything, ``taken`` is told of a policy that was applied since.
    ``resend_seconds``: how long a slice may stay unclaimed.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        policy: Policy,
        send: Send,
        delivery: Delivery,
        received: Received,
        resend_seconds: float,
        checkpoint: Checkpoint,
        awake: Callable[[bool], None] = _to_nobody,
        taken: Callable[[Policy], None] = _nobody_goes_by_it,
    ) -> None:
        self._ledger = ledger
        self._send = send
        self._delivery = delivery
        self._received = received
        self._resend_us = microseconds(resend_seconds)
        self._checkpoint = checkpoint
        self._taken = taken
        self._sweep = Sweep(ledger, policy, send, delivery, self._resend_us)
        self._use(policy, BelowTheTiers(policy))
        self._awake = awake
        self._owed: SimpleQueue[Ends] = SimpleQueue()
        self._in_force = True
        self._applied: policies.AppliedPolicy | None = None
        self._rolled_out_at = 0
        self._refused = 0
        self._wanted = threading.Event()
        self._stopping = threading.Event()

    def _use(self, policy: Policy, below: BelowTheTiers) -> None:
        """Go by this policy; raises ``Misconfigured`` where a file that it names cannot be used."""
        self._counter, self._predictors = TokenCounter(policy), Predictors(policy)
        self._policy, self._below = policy, below
        self._failover = Failover(policy, self._resend_us)
        self._fill = Fill(policy, self._resend_us)
        self._limited = self._budgets_limited()
        self._out_of_rate = pauses.RateLimitedBudgets()
        self._sweep.use(policy)
        self._to_renew = [(state, tier) for state in _RENEWED for tier in TIERS]
        self._renewed_to: policies.Cursor | None = None

    def start(self) -> None:
        """Put the policy in force, its ceilings too, unless another one was applied.

        Raises when the ledger cannot be asked.
        """
        with self._ledger.write() as connection:
            now, applied = database_now(connection), policies.applied(connection)
            if applied is None or applied.digest == self._policy.digest:
                books.seed(connection, self._policy.ceilings, now)
                policies.start(connection, self._policy.digest, now)
            else:
                self._applied = applied
            if applied is not None:
                self._rolled_out_at = applied.at + ROLL_OUT_US
            prompts.store(connection, self._policy.prompts, now)
            batches.route_anew(connection)
            self._measured = measure(connection, self._policy, now)

    def _budgets_limited(self) -> bool:
        """Whether any budget has limits, so that its items may have to wait for them."""
        return limits_budgets(self._policy, self._measured.limits)

    def wake(self) -> None:
        """Look soon; returns at once."""
        self._wanted.set()

    def ended(self, ends: Ends) -> None:
        """Look soon, and tell producers of items that ended elsewhere in this process."""
        self._owed.put(ends)
        self._wanted.set()

    def stop(self) -> None:
        """End ``run`` after the round under way."""
        self._stopping.set()
        self._wanted.set()

    def run(self) -> None:
        """Go rounds, and sweep, until ``stop``. A ledger that is away is asked again each tick."""
        swept, pace = 0.0, Pace()
        awake = False
        while not self._stopping.is_set():
            self._wanted.clear()
            pause = TICK_SECONDS
            try:
                self._report()
                if time.monotonic() - swept >= TICK_SECONDS:
                    swept = time.monotonic()
                    self._sweep()
                    self._suspected = self._ticked = True
                more = self.round()
                if awake and not self._moved:
                    # Whoever saw us awake sent no wake: one round more, now that we are not.
                    pause = 0.0
                else:
                    pause = pace.after(
                        moved=self._moved, more=more, full=self._full, due_soon=self._due_soon
                    )
                if awake or self._moved:
                    self._awake(self._moved)
                awake = self._moved
            except Exception as error:  # noqa: BLE001 - whatever it was, the next round tries again
                if not unreachable(error):
                    _log.exception("tick_failed", error=type(error).__name__)
                else:
                    _log.warning("ledger_unreachable", error=type(error).__name__)
            if awake:
                self._stopping.wait(pause)
            else:
                self._wanted.wait(pause)
        self._report()

    def _report(self) -> None:
        while not self._owed.empty():
            self._delivery.ended(self._owed.get())

    def heartbeat_detail(self) -> dict[str, Any]:
        """What the heartbeat says of this stage."""
        return {
            "counts": {"resent": self._sweep.resent, **self._below.answered},
            "moments": {"looked": self._ticked_at, "superseded": self._superseded_at},
            "policy": self._policy.digest,
            "deferring": self._below.deferring,
        }

    _full = False
    """Whether work waits for capacity in a tier's queue."""
    _due_soon = False
    """Whether some waits for its time, which comes before the next tick."""
    _suspected = True
    """Whether there may be suspects: they are few, so each tick asks, not each round."""
    _ticked = True
    """Whether what each tick does is to be done: looking after deployments that cannot serve, who
    waits for a budget's limits, what was measured."""
    _measured = NOTHING_MEASURED
    """As the last tick found it: half a second changes little of it."""
    _moved = False
    _ticked_at = 0
    _superseded_at = 0

    def round(self) -> bool:
        """Route one batch and fill the tiers' queues; returns whether more is there to route."""
        self._checkpoint("before_route")
        self._take_applied()
        # Choosing takes long where writers take turns, counting everywhere: nobody waits for it.
        early = self._ledger.one_writer or any((self._counter, self._below, self._predictors))
        ahead = self._choose_ahead() if early else None
        with self._ledger.write() as connection:
            begun = outset.read(connection)
            now, due_at = begun.now, begun.due_at
            if self._superseded(connection, begun.in_force):
                return False
            anew = self._outdated(connection)
            woken = 0 if due_at is None or due_at > now else routes.wake_due(connection, now)
            known = conditions.by_deployment(connection) if begun.impaired else {}
            moved = self._failover.tick(connection, known, now) if self._ticked else 0
            if self._ticked:
                self._below.judge(connection, now)
                self._measured = measure(connection, self._policy, now)
                self._limited = self._budgets_limited()
            if ahead is None:
                submitted = self._fill.submitted(connection, BATCH, lock=True)
                chosen = choose_all(submitted, self._policy, now, {}, known, self._measured)
            else:
                same = routes.still_submitted(connection, ahead.items)
                chosen = self._below.confirm(connection, ahead.those(same))
            routes.route(connection, chosen.routed)
            ends = die(connection, chosen.deaths, now)
            answers = self._below.write(connection, chosen, now)
            slices, full = self._queue(connection, begun, known)
            self._ticked = False
        self._checkpoint("after_route")
        for tier, slice_ in slices:
            self._send(tier, slice_)
        self._checkpoint("after_send")
        self._delivery.ended(ends)
        self._delivery.ended(answers)
        self._full = full
        self._due_soon = due_at is not None and not woken and due_at < now + _SOON_US
        self._moved = bool(chosen.items or slices or woken or anew or moved)
        self._ticked_at = now
        with self._ledger.ask() as connection:
            made = promises.made(connection, [item.id for item in chosen.routed])
        self._received([*made, *ends.owed, *answers.owed])
        return len(chosen.items) == BATCH or anew

    def _superseded(self, connection: Transaction, in_force: str | None) -> bool:
        """Whether another policy is in force: one that was applied is taken with the next look."""
        superseded = in_force not in (None, self._policy.digest)
        if superseded and (applied := policies.applied(connection)) is not None:
            if applied.digest == self._policy.digest:
                # A routing stage of an older release has started with its file.
                policies.start(connection, applied.digest, database_now(connection))
                superseded = False
            elif applied.id != self._refused:
                self._applied = applied
                return True
        if superseded and self._in_force:
            _log.error("policy_superseded", policy=self._policy.digest, in_force=in_force)
            self._full = self._due_soon = self._moved = False
            self._superseded_at = database_now(connection)
        elif not superseded:
            self._superseded_at = 0
        self._in_force = not superseded
        return superseded

    def _take_applied(self) -> None:
        """Go by what was applied since; where that cannot be done, this stage stands aside."""
        applied = self._applied
        if applied is None:
            return
        try:
            source = f"version {applied.id} of the policy"
            policy = parse_policy(applied.text, source, self._policy.folder)
            self._use(policy, self._below.followed_by(policy))
        except TierqueueError as error:
            self._refused, self._applied = applied.id, None
            _log.error("policy_not_taken", policy=applied.digest, why=error.message)
            return
        self._rolled_out_at = applied.at + ROLL_OUT_US
        with self._ledger.write() as connection:
            prompts.store(connection, policy.prompts, database_now(connection))
            batches.route_anew(connection)
        self._taken(policy)
        # Only now: where the ledger was away, the next round takes all of it again.
        self._applied = None
        _log.info("policy_taken", policy=applied.digest, version=applied.id)

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

    def _choose_ahead(self) -> Decisions:
        with self._ledger.read() as connection:
            now = database_now(connection)
            submitted = self._fill.submitted(connection, BATCH, lock=False)
            if self._counter:
                submitted = countable(submitted)
            ids = [item.id for item in submitted if self._reads(item.task)]
            arguments = routes.arguments(connection, ids)
            known = conditions.by_deployment(connection)
            out_of_service = self._below.out_of_service(connection)
        read = [item for item in submitted if item.id in arguments]
        counted = {one.id: self._counter.count(one.task, arguments[one.id]) for one in read}
        called = [(one.id, one.task, arguments[one.id], one.budget) for one in read]
        predicted = self._predictors.predict(called)
        chosen = choose_all(submitted, self._policy, now, counted, known, self._measured, predicted)
        if now < self._rolled_out_at:
            # An answer below the tiers comes at once: floors of the policy before hold too.
            return chosen
        return self._below.serve(self._ledger, chosen, arguments, out_of_service, now)

    def _reads(self, task: str) -> bool:
        """Whether anything that is decided follows from the arguments of such items."""
        return bool(self._counter) or self._below.wants(task) or self._predictors.wants(task)

    def _queue(
        self, connection: Transaction, begun: Outset, known: Conditions
    ) -> tuple[list[tuple[Tier, Slice]], bool]:
        """Queue what there is capacity for; returns the slices, and whether a queue is full."""
        now = begun.now
        paused = pauses.in_force(connection) if begun.paused else []
        # Queued while somebody paused them.
        pauses.pull_back(connection, paused)
        if self._limited:
            paused += self._out_of_rate.ask(connection, now, wholly=self._ticked)
        trials = self._failover.trials(connection, known, now, paused)
        tried = [(Tier(item.tier), slice_) for item in trials for slice_ in cut([item], 1)]
        held = self._failover.held(known, now)
        filled, full, self._suspected = self._fill.tiers(
            connection, begun, paused, held, suspected=self._suspected
        )
        return [*tried, *filled], full
