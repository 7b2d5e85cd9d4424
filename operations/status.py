"""The status of work, tier by tier: at a cost that no backlog raises."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierqueue.ledger.ceilings.status import CeilingStatus, ceiling_statuses
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.in_force.conditions import by_deployment
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.monitoring import backlog, endings, progress, writes
from tierqueue.ledger.monitoring.backlog import Backlog, RunningCalls, WaitingItems
from tierqueue.ledger.monitoring.progress import Process
from tierqueue.ledger.monitoring.writes import WriteRefusal
from tierqueue.ledger.session import Ledger, Transaction
from tierqueue.ledger.session import now as database_now
from tierqueue.operations.health import concurrency_in_force
from tierqueue.router.condition import Condition
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.policy.duration import HOUR_US
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.findings.ceilings import near
from tierqueue.tasks.findings.finding import alive, loading, pace


@dataclass(frozen=True, slots=True, kw_only=True)
class TierStatus:
    """One tier. ``backlog`` is ``None`` where nothing is ready, ``concurrency`` the calls in flight
    in force; ``ended_per_second`` is of the last minute and ``None`` where no worker says it.
    """

    tier: Tier
    workers: int
    concurrency: int
    paused: bool
    running: int
    waiting: int
    ended_per_second: float | None
    backlog: Backlog | None

    @property
    def stopped(self) -> bool:
        """Whether somebody set its calls in flight to 0."""
        return self.concurrency == 0

    @property
    def empty_seconds(self) -> float | None:
        """How long what is ready takes at this pace; ``None`` where that is not known."""
        if self.backlog is None or not self.ended_per_second:
            return None
        return self.backlog.ready / self.ended_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """One deployment: calls in flight, items that wait for it, and what is known of it.

    ``condition`` is ``None`` where nothing is the matter; ``stopped``: how many workers of a
    release before this one have stopped calling it; ``loading_seconds``: for how long its model has
    been loading, where no worker of its tier serves yet; ``simulated``: its money and answers are.
    """

    name: str
    tier: Tier
    running: int
    waiting: int
    condition: Condition | None
    stopped: int
    loading_seconds: float | None
    simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything of one moment (epoch microseconds); ``dead`` by reason, within the last hour.

    ``refusal``: why the ledger takes no writes, where it takes none.
    """

    at: int
    refusal: WriteRefusal | None
    unrouted: Backlog | None
    routing_stages: int
    tiers: list[TierStatus]
    deployments: list[DeploymentStatus]
    waiting: list[WaitingItems]
    near: list[CeilingStatus]
    dead: Mapping[str, int]
    paused: list[Pause]


def status(ledger: Ledger, policy: Policy) -> Status:
    """Where work stands now."""
    refusal = writes.refused(ledger)
    with ledger.read() as connection:
        writes.be_hasty(connection)
        return _status(connection, policy, refusal)


def _status(connection: Transaction, policy: Policy, refusal: WriteRefusal | None) -> Status:
    now = database_now(connection)
    paused = pauses.in_force(connection)
    ready = backlog.ready(connection, now, paused)
    waiting = backlog.waiting(connection, now)
    running = backlog.running(connection, now)
    known = progress.living(connection, now)
    in_force = concurrency_in_force(connection, policy)
    return Status(
        at=now,
        refusal=refusal,
        unrouted=ready.get("route"),
        routing_stages=sum(
            "superseded" not in process.since for process in alive(known, "routing")
        ),
        tiers=[
            TierStatus(
                tier=tier,
                workers=len(alive(known, "worker", tier)),
                concurrency=in_force[tier],
                paused=any((pause.kind, pause.name) == ("tier", tier) for pause in paused),
                running=sum(group.calls for group in running if group.tier == tier),
                waiting=sum(group.items for group in waiting if group.tier == tier),
                ended_per_second=pace(known, tier),
                backlog=ready.get(tier),
            )
            for tier in TIERS
        ],
        deployments=_deployments(connection, policy, running, waiting, known),
        waiting=waiting,
        near=near(_of_work(ceiling_statuses(connection, now), waiting)),
        dead=endings.by_reason(connection, now - HOUR_US),
        paused=paused,
    )


def _deployments(
    connection: Transaction,
    policy: Policy,
    running: Sequence[RunningCalls],
    waiting: Sequence[WaitingItems],
    known: list[Process],
) -> list[DeploymentStatus]:
    """Every deployment of the policy, in the order of the tiers."""
    conditions = by_deployment(connection)
    held = {name: condition for name, condition in conditions.items() if condition.held}
    routed = backlog.routed_to(connection, list(held))
    stopped = Counter(
        name
        for tier in TIERS
        for worker in alive(known, "worker", tier)
        for name in worker.detail.get("breakers_open", ())
    )
    loads = {
        name: seconds
        for tier in TIERS
        for name, seconds in loading(alive(known, "worker", tier)).items()
    }
    return [
        DeploymentStatus(
            name=deployment.name,
            tier=tier,
            running=sum(group.calls for group in running if group.deployment == deployment.name),
            waiting=sum(group.items for group in waiting if group.deployment == deployment.name)
            + routed.get(deployment.name, 0),
            condition=held.get(deployment.name),
            stopped=stopped[deployment.name],
            loading_seconds=loads.get(deployment.name),
            simulated=deployment.simulated,
        )
        for tier in TIERS
        for deployment in policy.deployments.values()
        if deployment.tier is tier
    ]


def _of_work(
    ceilings: Sequence[CeilingStatus], waiting: Sequence[WaitingItems]
) -> list[CeilingStatus]:
    """Without the ceilings of jobs for which nothing waits: most of those jobs are done."""
    full = {group.ceiling.id for group in waiting if group.ceiling is not None}
    return [ceiling for ceiling in ceilings if ceiling.scope != "job" or ceiling.balance_id in full]
