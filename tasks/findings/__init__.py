"""Findings of what is wrong, and what to do: judged by progress and by how items end."""

from collections.abc import Callable, Iterable, Iterator

from tierqueue.tasks.findings import (
    ceilings,
    deaths,
    deployments,
    jobs,
    models,
    processes,
    reviews,
    schedules,
    surrogates,
    tiers,
    waits,
)
from tierqueue.tasks.findings.finding import Facts, Finding

_KINDS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    processes.routing,
    deployments.findings,
    tiers.findings,
    deaths.findings,
    ceilings.full_of_holds,
    ceilings.used_up,
    surrogates.findings,
    surrogates.deferring,
    reviews.findings,
    models.findings,
    models.not_held,
    waits.findings,
    processes.left_behind,
    jobs.incomplete,
    jobs.sinks,
    schedules.findings,
    processes.other_policy,
    processes.other_file,
    processes.paused,
)


def findings(facts: Facts) -> list[Finding]:
    """Everything that can be said from the ledger alone, what is wrong first."""
    return in_order(finding for kind in _KINDS for finding in kind(facts))


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """What is wrong first, else as it came."""
    return sorted(found, key=lambda finding: not finding.wrong)
