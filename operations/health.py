"""A check of the system: the ledger's progress and what cannot be reached, as findings."""

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tierqueue.ledger.ceilings.status import ceiling_statuses
from tierqueue.ledger.evaluation import reviews
from tierqueue.ledger.in_force import conditions, observations, policies
from tierqueue.ledger.in_force.surrogates import switched_off
from tierqueue.ledger.in_force.tier_concurrency import all_concurrency
from tierqueue.ledger.monitoring import backlog, endings, writes
from tierqueue.ledger.monitoring import progress as ledger_progress
from tierqueue.ledger.monitoring.progress import Progress
from tierqueue.ledger.monitoring.writes import WriteRefusal
from tierqueue.ledger.operations import jobs, schedules
from tierqueue.ledger.results import sinks
from tierqueue.ledger.session import Transaction, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import InvalidPolicy, LedgerMismatch, TierqueueError
from tierqueue.router.item import Tier
from tierqueue.router.policy.duration import DAY_US
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.broker import memory
from tierqueue.tasks.findings import findings, in_order
from tierqueue.tasks.findings.finding import SILENT_SECONDS, STUCK_SECONDS, Facts, Finding
from tierqueue.tasks.findings.reviews import SOON_US

WINDOW_US = DAY_US
"""Microseconds for which what died is told, unless somebody acknowledged it sooner."""

_FRESH_SECONDS = 5.0
"""Seconds for which one check of the ledger serves everybody who asks."""

_JOBS = 5
"""Incomplete jobs and failing sinks that are named, the newest."""


@dataclass(frozen=True, slots=True)
class Health:
    """``progress`` is ``None`` where the ledger could not be asked; ``applied``: the policy that
    the ledger has, if any.
    """

    progress: Progress | None
    findings: list[Finding]
    applied: policies.AppliedPolicy | None = None

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.wrong for finding in self.findings)


class LatestHealth:
    """The last check of the system, a few seconds old at most."""

    def __init__(self, app: TierqueueApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._at = 0.0
        self._last: Health | None = None

    def now(self) -> Health:
        """Check, unless somebody has just done so."""
        with self._lock:
            if self._last is None or time.monotonic() - self._at > _FRESH_SECONDS:
                self._last = check(self._app)
                self._at = time.monotonic()
            return self._last


def check(app: TierqueueApp) -> Health:
    """Check ledger and broker. Raises what says that this process is set up wrongly."""
    found = [*_broker(app)]
    try:
        progress, applied, said = _ledger(app)
        if (refusal := writes.refused(app.installation.ledger)) is not None:
            found = [takes_no_writes(refusal), *found]
    except LedgerMismatch as error:
        return Health(None, [wrong_setting(error, "tierqueue migrate"), *found])
    except Exception as error:
        if not unreachable(error):
            raise
        if (refusal := writes.refusal(error)) is not None:
            return Health(None, [takes_no_writes(refusal), *found])
        away = Finding(
            code="ledger_away",
            wrong=True,
            what=f"the ledger cannot be asked ({type(error).__name__}): nothing is accepted, and"
            " nothing spent",
            meanwhile="everything goes on once it answers",
            do="is the database up, and TIERQUEUE_LEDGER_URL right?",
        )
        return Health(None, [away, *found])
    return Health(progress, in_order([*found, *said]), applied)


_TAKE_WRITES: Mapping[writes.Cause, str] = {
    "locked": "which program holds the lock? A frozen worker (SIGCONT, or end it), a backup, a"
    " database shell with an open transaction",
    "full": "free space on the disk that the database is on; where there is some, that disk fails:"
    " read the system's log",
    "read_only": "is this a standby now, or its file system mounted read-only? Point"
    " TIERQUEUE_LEDGER_URL at the primary, or make it writable for this user",
}


def takes_no_writes(refusal: WriteRefusal) -> Finding:
    """A ledger that answers, and to which nothing can be written."""
    return Finding(
        code="ledger_refuses",
        wrong=True,
        what=f"the ledger takes no writes ({refusal.said}): nothing is accepted, begun or settled",
        meanwhile="workers try again: a call that has ended is settled if that is within its lease,"
        " and everything goes on once it takes writes",
        do=_TAKE_WRITES[refusal.cause],
        detail={"cause": refusal.cause},
    )


def wrong_setting(error: TierqueueError, do: str) -> Finding:
    """A setting, a policy or a ledger that does not fit, by its own error."""
    return Finding(code=type(error).__name__, wrong=True, what=error.message, do=do)


def worker(app: TierqueueApp, name: str, host: str | None = None) -> list[Finding]:
    """What is wrong with this machine's process of that name, for a container's health check.

    Raises ``LedgerMismatch`` and what the database raises.
    """
    host = socket.gethostname() if host is None else host
    with app.installation.ledger.read() as connection:
        known = ledger_progress.living(connection, database_now(connection))
    kind, tier = ("routing", None) if name == "routing" else ("worker", name)
    here = [
        process
        for process in known
        if process.kind == kind and process.tier == tier and f"@{host}:" in process.id
    ]
    beating = [process for process in here if process.silent < SILENT_SECONDS]
    if not beating:
        silent = f"no {name} process of {host} beats"
        return [Finding(code="process_silent", wrong=True, what=silent, do="read its log")]
    looked = min(process.since.get("looked", process.up) for process in beating)
    if name == "routing" and looked > STUCK_SECONDS:
        stuck = (
            f"the routing stage of {host} lives but has not looked at the ledger's items for"
            f" {STUCK_SECONDS:.0f} seconds"
        )
        return [Finding(code="routing_stage_stuck", wrong=True, what=stuck, do="restart it")]
    return []


def _ledger(app: TierqueueApp) -> tuple[Progress, policies.AppliedPolicy | None, list[Finding]]:
    from tierqueue.migrations import check

    ledger = app.installation.ledger
    check(ledger)
    with ledger.read() as connection:
        writes.be_hasty(connection)
        applied = policies.applied(connection)
        if applied is None:
            policy = app.installation.policy
            file: str | None = policy.digest
        else:
            policy, file = app.installation.read_applied(applied), _digest_of_file(app)
        now = database_now(connection)
        progress = ledger_progress.snapshot(connection)
        known = conditions.by_deployment(connection)
        facts = Facts(
            progress=progress,
            concurrency=concurrency_in_force(connection, policy),
            deployments=policy.deployments,
            conditions=known,
            routed=backlog.routed_to(connection, [name for name in known if known[name].held]),
            ceilings=ceiling_statuses(connection, now),
            toll=endings.toll(connection, now - WINDOW_US),
            lately=endings.lately(connection),
            policy=policies.in_force(connection),
            applied=applied,
            file=file,
            acknowledged_at=endings.acknowledged_at(connection),
            stopped_jobs=jobs.stopped(connection, _JOBS),
            sinks=sinks.failing(connection, now - WINDOW_US, _JOBS),
            models_changed=observations.changes(connection, now),
            surrogates_off=switched_off(connection, policy.audited),
            schedules=schedules.with_last_run(connection),
            reviews=reviews.waiting(connection, now + SOON_US),
            now=now,
        )
    return progress, applied, findings(facts)


def _digest_of_file(app: TierqueueApp) -> str | None:
    try:
        return app.installation.policy.digest
    except InvalidPolicy:
        return None


def concurrency_in_force(connection: Transaction, policy: Policy) -> dict[Tier, int]:
    """Calls in flight in force, by tier."""
    stated = all_concurrency(connection)
    return {tier: stated.get(tier, own.concurrency) for tier, own in policy.tiers.items()}


def _broker(app: TierqueueApp) -> list[Finding]:
    try:
        memory.answers(app.backend)
    except Exception as error:  # noqa: BLE001 - whatever it is, the broker does not answer
        return [
            Finding(
                code="broker_away",
                wrong=True,
                what=f"the broker cannot be reached ({type(error).__name__})",
                meanwhile="work is accepted and waits in the ledger; it goes on once the broker"
                " answers",
                do="is Redis up, and TIERQUEUE_BROKER_URL right?",
            )
        ]
    try:
        memory.takes_writes(app.backend)
    except Exception as error:  # noqa: BLE001 - whatever it is, the broker takes nothing
        return [
            Finding(
                code="broker_refuses",
                wrong=True,
                what=f"the broker answers and takes no writes ({type(error).__name__})",
                meanwhile="work is accepted and waits in the ledger; it goes on once the broker"
                " takes writes again",
                do="is this Redis a replica now, or its memory full (maxmemory)?",
            )
        ]
    return []
