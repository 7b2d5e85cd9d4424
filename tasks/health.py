"""A look at the house: the ledger's progress and what cannot be reached, as findings."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tierqueue.ledger import progress as ledger_progress
from tierqueue.ledger import tiers
from tierqueue.ledger.progress import Progress
from tierqueue.ledger.session import Ledger, unreachable
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.standings import ceiling_standings
from tierqueue.router.errors import LedgerMismatch, TierqueueError, Unpriced
from tierqueue.router.policy import Policy
from tierqueue.router.pricing import dearest
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.findings import SILENT, STUCK, Finding, findings

WORKERS = ("routing", "gpu", "open_weight", "frontier")
"""The Procfile's processes that do work."""


@dataclass(frozen=True, slots=True)
class Health:
    """``progress`` is ``None`` where the ledger could not be asked."""

    progress: Progress | None
    findings: list[Finding]

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not any(each.wrong for each in self.findings)


def look(app: TierqueueApp) -> Health:
    """Look at ledger and broker. Raises what says that this process is set up wrongly."""
    found = [*_broker(app)]
    policy = app.policy
    try:
        standing, said = _ledger(app.ledger, policy)
    except LedgerMismatch as error:
        return Health(None, [Finding(True, error.message, "tierqueue migrate"), *found])
    except Exception as error:
        if not unreachable(error):
            raise
        what = f"the ledger cannot be asked ({type(error).__name__}): nothing is spent until it can"
        do = "is the database up, and TIERQUEUE_LEDGER_URL right?"
        return Health(None, [Finding(True, what, do), *found])
    return Health(standing, sorted([*found, *said], key=lambda each: not each.wrong))


def deployments(policy: Policy, environ: Mapping[str, str]) -> list[Finding]:
    """Deployments that can never be called: without a price, or without a key in ``environ``."""
    found = []
    for each in policy.deployments.values():
        try:
            dearest(each, datetime.now(UTC).date())
        except Unpriced as error:
            found.append(
                Finding(True, error.message, f"state its prices under deployments.{each.name}")
            )
        if each.key_env is not None and not environ.get(each.key_env) and not each.simulated:
            what = (
                f"deployment {each.name} ({each.tier}) has no key here: {each.key_env} is not set"
            )
            found.append(Finding(False, what, "only the worker of that tier needs it"))
    return found


def worker(app: TierqueueApp, name: str, host: str | None = None) -> list[Finding]:
    """What is wrong with this machine's process of that name, for a container's health check.

    Raises ``LedgerMismatch`` and what the database raises.
    """
    host = socket.gethostname() if host is None else host
    with app.ledger.read() as connection:
        standing = ledger_progress.standing(connection)
    room, tier = ("routing", None) if name == "routing" else ("worker", name)
    here = [
        each
        for each in standing.processes
        if each.room == room and each.tier == tier and f"@{host}:" in each.id
    ]
    beating = [each for each in here if each.silent < SILENT]
    if not beating:
        return [Finding(True, f"no {name} process of {host} beats", "read its log")]
    if name == "routing" and min(each.since.get("looked", each.up) for each in beating) > STUCK:
        return [Finding(True, f"the routing stage of {host} looks at no item", "restart it")]
    return []


def _ledger(ledger: Ledger, policy: Policy) -> tuple[Progress, list[Finding]]:
    from tierqueue.migrations import check

    check(ledger)
    with ledger.read() as connection:
        standing = ledger_progress.standing(connection)
        stated = tiers.all_concurrency(connection)
        ceilings = ceiling_standings(connection, database_now(connection))
    in_force = {tier: stated.get(tier, each.concurrency) for tier, each in policy.tiers.items()}
    return standing, findings(standing, in_force, ceilings)


def _broker(app: TierqueueApp) -> list[Finding]:
    try:
        app.backend.client.ping()
    except Exception as error:  # noqa: BLE001 - whatever it is, the broker does not answer
        what = f"the broker cannot be reached ({type(error).__name__}): work waits in the ledger"
        return [Finding(True, what, "is Redis up, and TIERQUEUE_BROKER_URL right?")]
    return []


def diagnosis(app: TierqueueApp) -> list[Finding]:
    """Everything there is to say, also where settings or the policy are wrong."""
    parts: list[Callable[[], list[Finding]]] = [
        lambda: look(app).findings,
        lambda: deployments(app.policy, os.environ),
    ]
    found: list[Finding] = []
    for part in parts:
        try:
            found += part()
        except TierqueueError as error:
            each = Finding(True, error.message, "set it right, then look again")
            if each not in found:
                found.append(each)
    return sorted(found, key=lambda each: not each.wrong)
