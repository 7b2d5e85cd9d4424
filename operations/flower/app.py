"""The application as Flower loads it: Flower's own pages, and this system's health and figures.

``/healthz`` answers 200 where work gets on and 503 with what is wrong; ``/metrics`` has these
figures beside Flower's. Neither shows a payload, so Flower leaves both open to who reaches it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from flower.urls import handlers
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler, url

from tierqueue.ledger.monitoring.progress import Progress
from tierqueue.operations.flower.pages import ItemPage, WorkersPage
from tierqueue.operations.health import Health, LatestHealth
from tierqueue.operations.limits import last_seen
from tierqueue.router.item import BelowTier
from tierqueue.router.policy.deployment import whose
from tierqueue.tasks.app import TierqueueApp, app


class Healthz(RequestHandler):
    """200 or 503, and what was found."""

    def initialize(self, health: LatestHealth) -> None:
        self._health = health

    async def get(self) -> None:
        health = await IOLoop.current().run_in_executor(None, self._health.now)
        self.set_status(200 if health.well else 503)
        self.set_header("Content-Type", "application/json")
        found = [asdict(finding) for finding in health.findings]
        self.write(json.dumps({"well": health.well, "findings": found}))


class LedgerCollector(Collector):
    """The ledger's figures for Prometheus; ages in seconds."""

    def __init__(self, health: LatestHealth) -> None:
        self._health = health

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not look yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One look, as gauges."""
        health = self._health.now()
        yield _gauge("well", "1 where nothing is wrong: see findings", [], [((), health.well)])
        yield _gauge(
            "findings",
            "What is to be known, by code; wrong: somebody is needed",
            ["code", "wrong"],
            list(_by_finding(health).items()),
        )
        if (now := health.progress) is None:
            return
        backlog = now.backlog.items()
        yield _gauge(
            "ready_items",
            "Ready, not paused, not claimed; route: not routed yet",
            ["tier"],
            [((tier,), waiting.ready) for tier, waiting in backlog],
        )
        yield _gauge(
            "ready_oldest_seconds",
            "Age of the oldest ready item",
            ["tier"],
            [((tier,), waiting.oldest_seconds) for tier, waiting in backlog],
        )
        yield _gauge(
            "waiting_items",
            "Items that wait, by the reason's code",
            ["reason"],
            [((code,), count) for code, count in _by_code(now).items()],
        )
        yield _gauge(
            "dead_letters",
            "Dead letters, by reason",
            ["reason"],
            [((reason,), count) for reason, count in now.dead.items()],
        )
        for name, help_text, value in (
            ("running_items", "Items whose call is in flight", sum(r.calls for r in now.running)),
            ("overdue_leases", "Items of workers that died, not found yet", now.overdue_leases),
            ("promises_owed", "Answers whose producers are not told", now.promises_owed),
            ("unreadable_messages", "Messages kept because nobody could read them", now.unreadable),
            ("pauses", "What operators hold back", len(now.paused)),
        ):
            yield _gauge(name, help_text, [], [((), value)])
        yield _gauge(
            "answered_without_a_call_last_minute",
            "Items that no model was asked for, by who answered",
            ["by"],
            [((who.value,), _last_minute(now, who.value)) for who in BelowTier],
        )
        yield _gauge(
            "heartbeat_age_seconds",
            "Since a process was heard of",
            ["process"],
            [((process.id,), process.silent) for process in now.processes],
        )
        yield _gauge(
            "claim_age_seconds",
            "Since a worker's last claim",
            ["process"],
            [((p.id,), p.since["claimed"]) for p in now.processes if "claimed" in p.since],
        )
        for name, help_text, count in (
            ("resent_last_minute", "Items sent to their tier again", "resent"),
            ("stale_fences_last_minute", "Answers refused after their lease", "stale_fences"),
        ):
            yield _gauge(name, help_text, [], [((), _last_minute(now, count))])
        for name, help_text, figure in (
            ("engine_running_calls", "Calls that an engine of the house runs now", "running"),
            ("engine_waiting_calls", "Calls that wait inside it", "waiting"),
            ("engine_worthwhile_calls", "Calls that it is given at most", "depth"),
            ("engine_kv_use", "Share of its key-value cache in use, 0 to 1", "kv_use"),
            ("engine_output_tokens", "Since its start: by its rate, tokens/s", "output_tokens"),
            ("engine_prompt_tokens", "Looked up in its prefix cache so far", "prefix_queries"),
            ("engine_prefix_hit_tokens", "Of these, found there", "prefix_hits"),
        ):
            yield _gauge(name, help_text, ["process", "deployment"], _of_engines(now, figure))
        for name, help_text, figure in (
            ("limit_used", "Asked for within the last minute, over all workers", "used"),
            ("limit_learned", "What a provider states or has shown by refusing", "learned"),
        ):
            yield _gauge(
                name,
                help_text,
                ["deployment", "account", "budget", "limit"],
                _of_limits(now, figure),
            )


def _last_minute(now: Progress, count: str) -> int:
    return sum(process.last_minute.get(count, 0) for process in now.processes)


def _of_engines(now: Progress, figure: str) -> list[tuple[tuple[str, ...], float]]:
    return [
        ((process.id, deployment), figures[figure])
        for process in now.processes
        for deployment, figures in process.detail.get("engines", {}).items()
    ]


def _of_limits(now: Progress, figure: str) -> list[tuple[tuple[str, ...], float]]:
    return [
        ((*_labels(scope), name), most)
        for scope, seen in last_seen(now.processes).items()
        for name, most in getattr(seen, figure).items()
    ]


def _labels(scope: str) -> tuple[str, ...]:
    """Whose limit it is, each kind by a label of its own; those of the others are empty."""
    kind, name = whose(scope)
    return tuple(name if label == kind else "" for label in ("deployment", "account", "budget"))


def _by_code(now: Progress) -> Counter[str]:
    counted: Counter[str] = Counter()
    for group in now.waiting:
        counted[group.code] += group.items
    return counted


def _by_finding(health: Health) -> Counter[tuple[str, str]]:
    return Counter((finding.code, "1" if finding.wrong else "0") for finding in health.findings)


def _gauge(
    name: str, help_text: str, labels: list[str], values: list[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"tierqueue_{name}", help_text, labels=labels)
    for label, value in values:
        gauge.add_metric(label, value)
    return gauge


def mount(app: TierqueueApp) -> None:
    """Put health and figures into Flower, in this process, before it starts."""
    health = LatestHealth(app)
    # First: the last of Flower's own catches every path.
    handlers[:0] = [
        url(r"/healthz", Healthz, {"health": health}),
        url(
            r"/task/(.+)",
            ItemPage,
            {"ledger": app.installation.ledger, "simulated": app.installation.policy.simulated},
        ),
        url(r"/", WorkersPage, {"health": health}),
        url(r"/workers", WorkersPage, {"health": health}),
    ]
    REGISTRY.register(LedgerCollector(health))


mount(app)

__all__ = ["app"]
