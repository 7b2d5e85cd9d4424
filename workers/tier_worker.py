"""A tier's worker: builds everything once, passes it in, and stops in order.

Time limits and draining are ours: on Celery's threads pool nothing of Celery's ends a task.
"""

import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import structlog
from celery.signals import worker_init, worker_shutting_down
from celery.signals import worker_shutdown as worker_stopped

from tierqueue import migrations
from tierqueue.ledger.contents import content_store
from tierqueue.ledger.in_force import conditions, stated_limits, tier_concurrency
from tierqueue.ledger.results.promises import Ends
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import TierqueueError
from tierqueue.router.item import Tier
from tierqueue.router.policy.deployment import Deployment
from tierqueue.tasks import collector, logs
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.broker import names
from tierqueue.tasks.broker.slices import Slice
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.routing.side_by_side import Policies
from tierqueue.tasks.ticker import Ticker
from tierqueue.workers import engines
from tierqueue.workers.alerts.bills import Alarms
from tierqueue.workers.alerts.hook import Hook, Message
from tierqueue.workers.alerts.observer import Observer
from tierqueue.workers.batch_lane.lane import BatchLane
from tierqueue.workers.caller import Caller
from tierqueue.workers.engines.engine import Engine, RateLimitedEngine
from tierqueue.workers.engines.engine_load import BatchingEngine
from tierqueue.workers.engines.forms import not_held
from tierqueue.workers.engines.stations import (
    BuildEngine,
    Station,
    engines_of,
    of_tier,
    renewed,
)
from tierqueue.workers.executor import Executor
from tierqueue.workers.leases import Leases
from tierqueue.workers.limits.bounds import bounds_of
from tierqueue.workers.limits.breaker import Breaker, Known
from tierqueue.workers.limits.learned_limits import EVERY_SECONDS, LearnedLimitsWriter
from tierqueue.workers.limits.limiter import Limiter
from tierqueue.workers.limits.operator_limits import StatedLimits
from tierqueue.workers.limits.pool import GATE, GATE_POOL, GatePool, TierConcurrency
from tierqueue.workers.limits.rates import OperatorLimits
from tierqueue.workers.process import celery_options
from tierqueue.workers.process.checkpoint import Checkpoint, never_ends
from tierqueue.workers.process.event_loop import EventLoopThread
from tierqueue.workers.process.heartbeat import Heartbeat
from tierqueue.workers.process.policy_follower import PolicyFollower
from tierqueue.workers.process.process_engines import ProcessEngines
from tierqueue.workers.settler import Settler, SettlingCall

_log = structlog.get_logger(__name__)

BEFORE_THE_END_SECONDS = 3.0
"""Seconds before the grace period ends at which what still runs is ended and settled."""


def _with_batches(stations: Mapping[str, Station]) -> dict[str, Station]:
    return {name: one for name, one in stations.items() if one.deployment.batch is not None}


def _chosen(ledger: Ledger) -> OperatorLimits:
    with ledger.ask() as connection:
        found = stated_limits.all_set(connection)
        return OperatorLimits(found, stated_limits.all_since(connection) if found else {})


def _contents(ledger: Ledger, hashes: Sequence[str]) -> Mapping[str, bytes]:
    with ledger.read() as connection:
        return content_store.read(connection, hashes)


class TierWorker:
    """One worker process of one tier, from Celery's ``worker_init`` to its shutdown."""

    def __init__(
        self,
        app: TierqueueApp,
        tier: Tier,
        build_engine: BuildEngine | None = None,
        checkpoint: Checkpoint = never_ends,
    ) -> None:
        self.app = app
        self._tier = tier
        self._build_engine = build_engine or self._engine
        self._checkpoint = checkpoint
        self._loop = EventLoopThread()
        self._executor: Executor | None = None
        self._engines = ProcessEngines(tier, self._loop)
        self._beat = ExitStack()
        self._policy_follower = PolicyFollower(app.installation, self._use)
        celery_options.use(app, tier.value, GATE_POOL)
        app.task(
            self._slice,
            name=names.SLICE,
            Request=names.REQUEST,
            ignore_result=True,
            acks_late=True,
            shared=False,
        )
        logs.configure()
        worker_init.connect(self._start, weak=False)
        worker_shutting_down.connect(self._drain, weak=False)
        worker_stopped.connect(self._stop, weak=False)

    def _slice(self, **message: Any) -> dict[str, int]:
        """What became of the slice's items, for Celery's line in the log; nobody stores it."""
        if self._executor is None:
            raise RuntimeError("a slice came before the worker was ready")
        work = Slice.read(message)
        if work.deployment not in self._stations:
            self._policy_follower.check()
        outcomes = self._executor.run(work)
        self._checkpoint("before_ack")
        return outcomes

    def _start(self, sender: Any, **_: Any) -> None:
        # Celery only logs what a signal's receiver raises and would live on without an engine. What
        # is said until then is said as everything after it.
        sender.setup_logging()
        try:
            celery_options.check(self.app, self._tier.value, GatePool, sender.pool_cls)
            self._build()
        except TierqueueError as error:
            self._undo()
            _log.critical("worker_not_started", tier=self._tier.value, why=error.message)
            raise SystemExit(2) from None
        except Exception as error:
            self._undo()
            _log.exception("worker_cannot_start", tier=self._tier.value)
            raise SystemExit(1) from error

    def _undo(self) -> None:
        """End what a start that failed has started: an engine beside the one that could not."""
        self._beat.close()
        self._engines.close()
        self._loop.stop(timeout=1.0)

    def _engine(self, deployment: Deployment, environ: Mapping[str, str]) -> Engine:
        return engines.build(deployment, environ, self.app.installation.settings.policy_folder)

    def _build(self) -> None:
        settings, ledger = self.app.installation.settings, self.app.installation.ledger
        ledger.await_answer(lambda: migrations.check(ledger))
        policies = ledger.await_answer(self._policy_follower.begin)
        policy = policies.own
        deployments = of_tier(policy, self._tier)
        built, refused = engines_of(deployments, self._build_engine, os.environ)
        if refused and not built:
            raise next(iter(refused.values()))
        self._seen = (limiter := Limiter.at(settings.broker_url, settings.lease)).seen
        self._beats(lambda: {**self._engines.loading, "policy": policy.digest})
        self._loop.start()
        for deployment, engine in built:
            self._engines.load(deployment, engine, lambda: ledger.await_answer(ledger.now))
        concurrency = self._gate_goes_by(built)
        self._serve(
            {
                deployment.name: Station(
                    deployment=deployment, engine=engine, counted=policy.counts(deployment)
                )
                for deployment, engine in built
            }
        )
        events = self.app.installation.item_events
        delivery = Delivery(self.app)
        tell, wake = delivery.ended, self.app.installation.wakes.call
        serves = {deployment.name: deployment.tier.value for deployment in deployments}
        self._leases = Leases(ledger, limiter, serves, settings.lease)
        keeping = LearnedLimitsWriter(ledger, limiter.learned, lambda: self._stations)
        self._keeping = Ticker("learned limits", keeping.tick, EVERY_SECONDS)

        def free(batch: Sequence[SettlingCall]) -> None:
            at: dict[Deployment, list[SettlingCall]] = defaultdict(list)
            for one in batch:
                at[one.call.deployment].append(one)
            for deployment, ended in at.items():
                self._leases.call_ended(deployment.name, [one.call.claim for one in ended])
                limiter.release_ended(bounds_of(deployment, None), [one.spent() for one in ended])
                engine = self._stations[deployment.name].engine
                if isinstance(engine, RateLimitedEngine) and engine.rates is not None:
                    limiter.learned.note_stated(deployment.name, engine.rates)
            # After the slots, without which a place is no use, and together: one by one, the next
            # slices would be claimed item by item.
            GATE.release(len(batch))

        def notify(ends: Ends) -> None:
            tell(ends)
            wake()

        def known() -> Known:
            with ledger.ask() as connection:
                return database_now(connection), conditions.by_deployment(connection)

        self._breaker = Breaker(known)
        self._hook = Hook(policy.hooks)
        worker = f"{self._tier}@{socket.gethostname()}:{os.getpid()}"
        self._settler = Settler(
            ledger, policy, self._breaker, free, tell, wake, self._notify, self._checkpoint
        )
        self._lane = BatchLane(
            worker=worker,
            ledger=ledger,
            policies=policies,
            stations=_with_batches(self._stations),
            types=self.app.tasks,
            loop=self._loop,
            alarms=Alarms(self._notify),
            observing=Observer(ledger, self._notify),
            notify=notify,
            clock=ledger.now,
            checkpoint=self._checkpoint,
            contents=partial(_contents, ledger),
        )
        self._executor = Executor(
            worker=worker,
            ledger=ledger,
            policies=policies,
            stations=self._stations,
            limiter=limiter,
            gate=GATE,
            loop=self._loop,
            caller=Caller(
                types=self.app.tasks,
                loop=self._loop,
                leases=self._leases,
                settler=self._settler,
                breaker=self._breaker,
                checkpoint=self._checkpoint,
                contents=partial(_contents, ledger),
            ),
            breaker=self._breaker,
            keyless=frozenset(refused),
            delivery=delivery,
            started=lambda messages: events.started(message.id for message in messages),
            concurrency=concurrency.now,
            chosen=StatedLimits(partial(_chosen, ledger)).now,
            lease_seconds=settings.lease,
            checkpoint=self._checkpoint,
        )
        for part in (self._settler, self._leases, self._keeping, self._lane):
            part.start()
        # Another one: what it tells now is told at once, not at the next beat.
        self._beat.close()
        self._beats(self._heartbeat_detail)
        collector.only_at_what_is_new()
        for name in sorted(refused):
            self._executor.report_keyless(name)
        self._policy_follower.start()
        _log.info("worker_ready", tier=self._tier.value, deployments=sorted(self._stations))

    def _gate_goes_by(self, built: Sequence[tuple[Deployment, Engine]]) -> TierConcurrency:
        """The tier's bound: beside it, and what is worth it to each engine, nothing is let in."""
        concurrency = TierConcurrency(self._concurrency)
        self._loads = {
            deployment.name: engine.load
            for deployment, engine in built
            if isinstance(engine, BatchingEngine)
        }
        loads = self._loads.values() if len(self._loads) == len(built) else ()
        GATE.follow(concurrency.last, lambda: sum(load.depth for load in loads) if loads else None)
        return concurrency

    def _use(self, policies: Policies) -> None:
        """Go by other policies; raises ``Misconfigured`` where this process would have to restart.

        Calls in flight end with the engines they began with; those are closed with the worker.
        """
        assert self._executor is not None
        policy = policies.own
        there = renewed(self._stations, policy, self._tier, self._build_engine, os.environ)
        for engine in there.new:
            self._engines.start(engine)
        self._serve(there.stations)
        self._leases.serve(dict.fromkeys(there.stations, self._tier.value))
        self._hook = Hook(policy.hooks)
        self._settler.use(policy)
        self._lane.use(policies, _with_batches(there.stations))
        self._executor.use(policies, there.stations, there.keyless)
        for name in sorted(there.keyless):
            self._executor.report_keyless(name)

    def _serve(self, stations: Mapping[str, Station]) -> None:
        """Have these stations, and see which task types' answers their engines cannot hold."""
        self._stations = stations
        tried = [(one.deployment, one.engine) for one in stations.values()]
        self._not_held = not_held(tried, self.app.tasks)

    def _concurrency(self) -> int | None:
        with self.app.installation.ledger.ask() as connection:
            stated = tier_concurrency.concurrency(connection, self._tier)
        return (
            self.app.installation.policy.tiers[self._tier].concurrency if stated is None else stated
        )

    def _notify(self, message: Message) -> None:
        self._hook.notify(message)

    def _beats(self, detail: Callable[[], dict[str, Any]]) -> None:
        heartbeat = Heartbeat(self.app.installation.ledger, "worker", self._tier.value, detail)
        heartbeat.start()
        self._beat.callback(heartbeat.stop)

    def _heartbeat_detail(self) -> dict[str, Any]:
        """What the heartbeat says of this worker."""
        assert self._executor is not None
        now = time.monotonic()
        return {
            "counts": {"stale_fences": self._settler.stale, "ended": self._settler.ended},
            "moments": {"claimed": self._executor.claimed_at, "ended": self._settler.ended_at},
            "policy": self.app.installation.policy.digest,
            "draining": self._executor.draining,
            "pool": GATE.size,
            "breakers_open": self._breaker.open(),
            "not_held": [one.heartbeat_detail() for one in self._not_held],
            "engines": {
                name: load.figures().heartbeat_detail() for name, load in self._loads.items()
            },
            "limits": {name: seen.heartbeat_detail(now) for name, seen in dict(self._seen).items()},
        }

    def _drain(self, **_: Any) -> None:
        """SIGTERM: claim nothing more; end what still runs shortly before the grace period does."""
        if self._executor is None:
            return
        self._policy_follower.stop()
        self._executor.drain()
        self._lane.stop()
        wait = max(0.5, self.app.installation.settings.grace - BEFORE_THE_END_SECONDS)
        last_call = threading.Timer(wait, self._leases.abort_all, args=["drain"])
        last_call.daemon = True
        last_call.start()

    def _stop(self, **_: Any) -> None:
        if self._executor is None:
            return
        self._settler.stop(timeout=BEFORE_THE_END_SECONDS)
        self._leases.stop()
        self._keeping.stop()
        self._beat.close()
        self._engines.close()
        self._loop.stop(timeout=1.0)
