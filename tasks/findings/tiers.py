"""Tiers that have work: is there a worker, does it get on, what keeps it from calling?"""

from collections.abc import Iterator
from typing import Any

from tierqueue.ledger.monitoring.backlog import Backlog
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.lifecycle import LIMITS
from tierqueue.tasks.findings.deployments import stopped
from tierqueue.tasks.findings.finding import STUCK_SECONDS, Facts, Finding, alive, loading, pace
from tierqueue.tasks.plural import count


def findings(facts: Facts) -> Iterator[Finding]:
    """Every tier's."""
    for tier in TIERS:
        backlog = facts.progress.backlog.get(tier)
        if facts.concurrency.get(tier) == 0:
            yield _stopped_by_somebody(tier, backlog)
        if backlog is not None:
            yield from _backlog(facts, tier, backlog)


def _stopped_by_somebody(tier: Tier, backlog: Backlog | None) -> Finding:
    waiting = "nothing waits for it now"
    if backlog is not None:
        waiting = f"{_ready(backlog)} for it, the oldest for {backlog.oldest_seconds:.0f} s"
    return Finding(
        code="tier_stopped",
        wrong=False,
        what=f"tier {tier} is stopped, its calls in flight are set to 0: {waiting}",
        meanwhile="whatever is routed there waits in the ledger, until its deadline",
        do=f"to let it go on: tierqueue concurrency set {tier} N",
        detail={
            "tier": tier.value,
            "ready_items": backlog.ready if backlog else 0,
            "oldest_seconds": backlog.oldest_seconds if backlog else None,
        },
    )


def _ready(backlog: Backlog) -> str:
    return f"{'more than ' if backlog.more else ''}{count(backlog.ready, 'item')} ready"


def _backlog(facts: Facts, tier: Tier, backlog: Backlog) -> Iterator[Finding]:
    workers = alive(facts.progress.processes, "worker", tier)
    rate = pace(facts.progress.processes, tier)
    what = f"{_ready(backlog)} for tier {tier}, the oldest for {backlog.oldest_seconds:.0f} s"
    detail: dict[str, Any] = {
        "tier": tier.value,
        "ready_items": backlog.ready,
        "oldest_seconds": backlog.oldest_seconds,
        "ended_per_second": rate,
    }
    if not workers:
        yield Finding(
            code="no_worker",
            wrong=True,
            what=f"{what}, and no worker of that tier is alive",
            meanwhile="they wait in the ledger, until their deadlines",
            do=f"start the Procfile's {tier} process, or read its log",
            detail=detail,
        )
    elif facts.concurrency.get(tier) == 0:
        return
    elif loads := loading(workers):
        named = "; ".join(f"{name} for {seconds:.0f} s" for name, seconds in sorted(loads.items()))
        yield Finding(
            code="engine_loading",
            wrong=False,
            what=f"{what}, and its workers load their models: {named}",
            meanwhile="they wait in the ledger, until their deadlines",
            do=f"if it takes longer than it did before, read the log of the {tier} workers",
            detail={**detail, "loading_seconds": loads},
        )
    elif (
        backlog.oldest_seconds > STUCK_SECONDS
        and not stopped(facts, tier)
        and (idle := _idle(facts, tier)) is not None
    ):
        yield Finding(
            code="tier_stuck",
            wrong=True,
            what=f"{what}, and none ended in the last {idle:.0f} s",
            do=f"read the log of the {tier} workers: do slices arrive, does the provider answer?"
            " tierqueue status shows what waits for what",
            detail={**detail, "nothing_ended_seconds": idle},
        )
    elif backlog.oldest_seconds > STUCK_SECONDS and not stopped(facts, tier):
        yield Finding(
            code="backlog",
            wrong=False,
            what=what + _until_empty(backlog, rate),
            do=f"for more calls at once: tierqueue concurrency set {tier} N",
            detail=detail,
        )


def _idle(facts: Facts, tier: Tier) -> float | None:
    """For how many seconds nothing of a tier ended although it might have; else ``None``.

    What runs may take as long as the tier's deployments allow; a limiter's pace is no fault.
    """
    idle = min(
        process.since.get("ended", process.since.get("claimed", process.up))
        for process in alive(facts.progress.processes, "worker", tier)
        if not process.detail.get("loading")
    )
    limited = any(
        waiting.tier == tier and waiting.code in LIMITS for waiting in facts.progress.waiting
    )
    runs = any(running.tier == tier for running in facts.progress.running)
    timeouts = [
        deployment.longest_call
        for deployment in facts.deployments.values()
        if deployment.tier is tier
    ]
    patience = max(timeouts, default=0.0) if runs or limited else 0.0
    return idle if idle > STUCK_SECONDS + patience else None


def _until_empty(backlog: Backlog, rate: float | None) -> str:
    if not rate:
        return ""
    return f"; {rate:.2g} end a second, so that {backlog.ready / rate:,.0f} s are ahead"
