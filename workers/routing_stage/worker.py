"""The routing stage's process: Celery takes wakes and calls by name, one thread looks."""

import sys
import threading
from typing import Any

import structlog
from celery.concurrency.thread import TaskPool
from celery.signals import worker_init, worker_shutdown, worker_shutting_down

from tierqueue import migrations
from tierqueue.router.errors import TierqueueError
from tierqueue.router.item import Tier
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks import collector, logs
from tierqueue.tasks.app import TRANSPORT_OPTIONS, TierqueueApp
from tierqueue.tasks.broker import memory, names
from tierqueue.tasks.broker.slices import Slice
from tierqueue.tasks.consumer.request import HIDDEN
from tierqueue.tasks.results.delivery import Delivery
from tierqueue.tasks.schedules import jobs as scheduled_jobs
from tierqueue.tasks.ticker import Ticker
from tierqueue.workers.maintenance import job_sinks, job_webhooks, upkeep
from tierqueue.workers.maintenance.documents import Documents
from tierqueue.workers.maintenance.expiry import Expiry
from tierqueue.workers.process import celery_options
from tierqueue.workers.process.checkpoint import Checkpoint, never_ends
from tierqueue.workers.process.heartbeat import Heartbeat
from tierqueue.workers.routing_stage.pace import TICK_SECONDS
from tierqueue.workers.routing_stage.stage import RoutingStage

_log = structlog.get_logger(__name__)

RESEND_AFTER_LEASES = 2
"""How many leases a slice may stay unclaimed before it is sent again."""

SCHEDULED_SECONDS = 2.0
"""Seconds between two looks for a scheduled job that is due."""

TAKING_IN_SECONDS = 60
"""Seconds before the broker delivers again what a routing stage has read and not acknowledged: it
takes a call by name in at once, or puts it back."""


def _transport() -> dict[str, Any]:
    """Under keys of its own, since a message of the tiers is out for as long as its slice runs."""
    own = {
        "visibility_timeout": TAKING_IN_SECONDS,
        "unacked_key": names.UNACKED,
        "unacked_index_key": names.UNACKED_INDEX,
        "unacked_mutex_key": names.UNACKED_MUTEX,
    }
    return {"broker_transport_options": {**TRANSPORT_OPTIONS, **own}}


class RoutingWorker:
    """One routing stage in one Celery worker; many may run side by side."""

    def __init__(self, app: TierqueueApp, checkpoint: Checkpoint = never_ends) -> None:
        self._app = app
        self._checkpoint = checkpoint
        self._stage: RoutingStage | None = None
        self._expiry: Expiry | None = None
        self._documents: Documents | None = None
        self._heartbeat: Heartbeat | None = None
        self._tickers: list[Ticker] = []
        celery_options.use(app, names.ROUTING, "threads")
        app.add_defaults(_transport)
        app.task(
            self._wake,
            name=names.WAKE,
            Strategy=names.AT_ONCE,
        )
        logs.configure()
        worker_init.connect(self._start, weak=False)
        worker_shutting_down.connect(self._stop, weak=False)
        worker_shutdown.connect(self._goodbye, weak=False)

    def _wake(self, *_: Any, **__: Any) -> None:
        if self._stage is not None:
            self._stage.wake()

    def _start(self, sender: Any, **_: Any) -> None:
        # Celery only logs what a signal's receiver raises and would live on without a stage.
        try:
            celery_options.check(self._app, names.ROUTING, TaskPool, sender.pool_cls)
            self._stage = self._build()
            self._expiry = self._build_expiry(self._stage)
            ledger = self._app.installation.ledger
            self._documents = self._build_documents()
            ledger.await_answer(self._stage.start)
        except TierqueueError as error:
            sys.stderr.write(f"routing stage cannot start: {error}\n")
            raise SystemExit(2) from None
        except Exception as error:
            _log.exception("routing_stage_cannot_start")
            raise SystemExit(1) from error
        collector.only_at_what_is_new()
        threading.Thread(target=self._stage.run, name="routing stage", daemon=True).start()
        self._tickers = [
            Ticker("expiry", self._expiry.tick, TICK_SECONDS),
            Ticker("documents", self._documents.tick, TICK_SECONDS),
            Ticker("upkeep", self._build_upkeep().round, upkeep.TICK_SECONDS),
            Ticker("webhooks", job_webhooks.JobWebhooks(ledger).one, job_webhooks.PAUSE_SECONDS),
            Ticker("sinks", job_sinks.JobSinks(ledger).one, job_sinks.PAUSE_SECONDS),
            Ticker("scheduled jobs", self._submit_scheduled, SCHEDULED_SECONDS),
        ]
        for ticker in self._tickers:
            ticker.start()
        self._heartbeat = Heartbeat(ledger, "routing", None, self._stage.heartbeat_detail)
        self._heartbeat.start()

    def _stop(self, **_: Any) -> None:
        for ticker in self._tickers:
            ticker.stop()
        if self._stage is not None:
            self._stage.stop()

    def _goodbye(self, **_: Any) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()

    def _build(self) -> RoutingStage:
        installation = self._app.installation
        ledger = installation.ledger
        ledger.await_answer(lambda: migrations.check(ledger))
        return RoutingStage(
            ledger=ledger,
            policy=ledger.await_answer(installation.take_policy),
            send=self._send,
            delivery=Delivery(self._app),
            received=installation.item_events.received,
            resend_seconds=installation.settings.lease * RESEND_AFTER_LEASES,
            checkpoint=self._checkpoint,
            awake=self._mark_awake,
            taken=self._taken,
        )

    def _build_expiry(self, stage: RoutingStage) -> Expiry:
        installation = self._app.installation
        return Expiry(
            ledger=installation.ledger,
            policy=installation.policy,
            lease_seconds=installation.settings.lease,
            ended=stage.ended,
            checkpoint=self._checkpoint,
        )

    def _build_documents(self) -> Documents:
        installation = self._app.installation
        seconds = installation.settings.lease
        return Documents(
            installation.ledger, installation.policy, Delivery(self._app), lease_seconds=seconds
        )

    def _build_upkeep(self) -> upkeep.Upkeep:
        installation = self._app.installation
        return upkeep.Upkeep(
            installation.ledger,
            Delivery(self._app),
            self._app.backend,
            wake=installation.wakes.call,
            retention=lambda: installation.policy.retention,
            result_expires=installation.settings.result_expires,
        )

    def _submit_scheduled(self) -> bool:
        return scheduled_jobs.submit_one(
            self._app.installation.ledger, self._app.installation.wakes.call
        )

    def _taken(self, policy: Policy) -> None:
        self._app.installation.policy = policy
        for one in (self._expiry, self._documents):
            if one is not None:
                one.use(policy)

    def _mark_awake(self, awake: bool) -> None:
        try:
            memory.mark_awake(self._app.backend, awake)
        except Exception as error:  # noqa: BLE001 - a wake too many is sent, or a tick passes
            _log.warning("awake_not_announced", error=type(error).__name__)

    def _send(self, tier: Tier, work: Slice) -> None:
        try:
            self._app.send_task(
                names.SLICE,
                kwargs=work.to_json(),
                # Nobody is shown them; written by Celery they would be a third of the message.
                argsrepr=HIDDEN,
                kwargsrepr=HIDDEN,
                queue=names.tier_queue(tier),
                priority=None if work.urgent else names.USUAL_PRIORITY,
                ignore_result=True,
                retry=False,
            )
        except Exception as error:  # noqa: BLE001 - its items stay queued, and the tick sends them again
            _log.warning("slice_not_sent", tier=tier.value, error=type(error).__name__)
