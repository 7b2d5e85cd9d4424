"""One thing somebody should know, as a code with its figures, and in plain words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tierqueue.ledger.ceilings.status import CeilingStatus
from tierqueue.ledger.evaluation.reviews import ReviewBacklog
from tierqueue.ledger.in_force.observations import ModelChange
from tierqueue.ledger.in_force.policies import AppliedPolicy
from tierqueue.ledger.in_force.surrogates import SwitchOff
from tierqueue.ledger.job_records import JobRecord
from tierqueue.ledger.monitoring.endings import SuccessCost, Toll
from tierqueue.ledger.monitoring.progress import Process, Progress
from tierqueue.ledger.operations.schedules import Run, Schedule
from tierqueue.ledger.results.sinks import Sink
from tierqueue.router.condition import Condition
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.policy.deployment import Deployment

SILENT_SECONDS = 15.0
"""Without a heartbeat for so long a process counts as gone."""

STUCK_SECONDS = 30.0
"""In so long ready items must see some progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing somebody should know. ``wrong``: a person is needed, or work does not get on.

    ``code`` and ``detail`` are for programs: figures carry their unit in their name. ``what`` is
    so, ``meanwhile`` says what happens without anybody's help (empty where nothing does), ``do``
    what a person does about it.
    """

    code: str
    wrong: bool
    what: str
    do: str
    meanwhile: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What findings are judged by, as it was at one moment.

    ``concurrency``: calls in flight in force, by tier; ``deployments`` are the policy's and
    ``conditions`` what is known of them, by name; ``routed``: how many ready items are routed to a
    deployment that is held back, as far as they were counted; ``lately``: what ended last;
    ``stopped_jobs``: jobs whose submission ended early, each with how many of its rows are items;
    ``sinks``: jobs whose rows cannot be written back;
    ``surrogates_off``: those of the policy that their audits took out of service;
    ``models_changed``: deployments for which another model answers than the week before;
    ``schedules``: each with its last run; ``reviews``: what waits for a person;
    ``policy``: the digest of the one in force, ``applied``: what was applied last, if anything,
    ``file``: the digest of this process's file; ``acknowledged_at``: when somebody last said to
    have seen what is wrong (epoch µs).
    """

    progress: Progress
    concurrency: Mapping[Tier, int]
    deployments: Mapping[str, Deployment]
    conditions: Mapping[str, Condition]
    routed: Mapping[str, int]
    ceilings: Sequence[CeilingStatus]
    toll: Toll
    lately: Sequence[SuccessCost]
    stopped_jobs: Sequence[tuple[JobRecord, int]] = ()
    sinks: Sequence[Sink] = ()
    surrogates_off: Sequence[SwitchOff] = ()
    schedules: Sequence[tuple[Schedule, Run | None]] = ()
    reviews: ReviewBacklog | None = None
    models_changed: Sequence[ModelChange] = ()
    policy: str | None = None
    applied: AppliedPolicy | None = None
    file: str | None = None
    acknowledged_at: int | None = None
    now: int

    @property
    def simulated(self) -> str:
        """Behind sums of money: that simulated money may be among them; else nothing."""
        some = any(deployment.simulated for deployment in self.deployments.values())
        return " (with simulated money)" if some else ""


def alive(known: Iterable[Process], kind: str, tier: Tier | str | None = None) -> list[Process]:
    """The processes of a kind (and tier) that beat."""
    return [
        process
        for process in known
        if process.kind == kind and process.tier == tier and process.silent < SILENT_SECONDS
    ]


def loading(workers: Iterable[Process]) -> dict[str, float]:
    """What a tier's ``workers`` load, by deployment, and for how many seconds so far; nothing where
    one of them has all it needs and serves.
    """
    found: dict[str, float] = {}
    for worker in workers:
        name = worker.detail.get("loading")
        if not name:
            return {}
        found[name] = max(found.get(name, 0.0), worker.since.get("loading", worker.up))
    return found


def ready_tiers(known: Sequence[Process]) -> set[Tier]:
    """The tiers of which a worker is there that has loaded what it serves."""
    workers = {tier: alive(known, "worker", tier) for tier in TIERS}
    return {tier for tier, some in workers.items() if some and not loading(some)}


def pace(known: Iterable[Process], tier: Tier) -> float | None:
    """Items of a tier that ended in a second, over the last minute; ``None`` if no worker says."""
    workers = [
        process for process in alive(known, "worker", tier) if "ended" in process.last_minute
    ]
    if not workers:
        return None
    return sum(worker.last_minute["ended"] / min(60.0, max(worker.up, 1.0)) for worker in workers)
