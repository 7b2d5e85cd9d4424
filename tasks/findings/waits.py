"""Findings about waits, without a prophecy: only a time that is stated is certain to come."""

from collections.abc import Iterator, Mapping

from tierqueue.ledger.monitoring.backlog import WaitingItems
from tierqueue.router.lifecycle import State, Wait
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.findings.finding import STUCK_SECONDS, Facts, Finding, alive
from tierqueue.tasks.plural import count

_MEANWHILE: Mapping[str, str] = {
    Wait.BATCH: "they are collected for a batch at the provider's lower price",
    State.HANDED_OVER: "they are in batches at their provider, and go live where time runs out",
    Wait.PIECES: "they are documents that wait for the answers of their pieces",
    Wait.NOT_BEFORE: "they go on when their time comes",
    **dict.fromkeys(
        (Wait.ACCOUNT_RATE, Wait.ACCOUNT_IN_FLIGHT),
        "they go on as calls of their provider's account leave its limits: tierqueue limits show",
    ),
    **dict.fromkeys(
        (Wait.BUDGET_RATE, Wait.BUDGET_IN_FLIGHT),
        "they go on as calls of their budget leave its limits, and nobody waits with them:"
        " tierqueue limits show",
    ),
    Wait.THROTTLED: "they are tried again after the time that the provider stated, until their"
    " deadlines",
}
_TRIED = "they are tried again by themselves, until their deadlines or until their calls are used"
_RESTART = (
    "restart the routing stage and all workers with the same policy; what was submitted stays"
)
_MEND: Mapping[str, str] = {
    Wait.NOT_SERVED: _RESTART,
    Wait.OTHER_POLICY: _RESTART,
    Wait.LIMITER_AWAY: "read the workers' log: does Redis answer, is its memory full, may it"
    " write?",
    Wait.TOKEN_LIMIT: _RESTART,
}
"""What somebody does about a reason that no time mends."""


def findings(facts: Facts) -> Iterator[Finding]:
    """A note for each reason; wrong is one that lasts and that no time mends."""
    items: dict[str, int] = {}
    tiers: dict[str, set[str]] = {}
    oldest: dict[str, float] = {}
    for group in facts.progress.waiting:
        # What waits for a ceiling is told with the ceiling.
        if group.code != Wait.CEILING:
            items[group.code] = items.get(group.code, 0) + group.items
            if _in_vain(facts, group):
                oldest[group.code] = max(oldest.get(group.code, 0.0), group.oldest_seconds)
            tiers.setdefault(group.code, set()).add(group.deployment or "the routing stage")
    for code, number in sorted(items.items()):
        where = ", ".join(sorted(tiers[code]))
        what = f"{count(number, 'item', 'waits', 'wait')} for {where}: {code}"
        detail = {"reason": code, "items": number}
        if code in oldest:
            yield Finding(
                code="waiting_in_vain",
                wrong=True,
                what=f"{what}; the oldest was submitted {oldest[code]:.0f} s ago",
                meanwhile="none of them gets on; they wait in the ledger, until their deadlines",
                do=_MEND[code],
                detail={**detail, "oldest_seconds": oldest[code]},
            )
            continue
        yield Finding(
            code="waiting",
            wrong=False,
            what=what,
            meanwhile=_MEANWHILE.get(code, _TRIED),
            do="nothing, unless it lasts: tierqueue status",
            detail=detail,
        )


def _in_vain(facts: Facts, group: WaitingItems) -> bool:
    """Whether items wait for what no time mends, and nobody who waits like them gets on.

    An item may be old for other reasons, and wait for this since a moment ago: as long as its
    deployment serves others, or a process has just started, as when all are restarted one after
    another, it is not in vain. One that is above a limiter's burst is served by no other's turn.
    """
    if group.code not in _MEND or group.oldest_seconds <= STUCK_SECONDS:
        return False
    processes = facts.progress.processes
    involved = [*alive(processes, "routing"), *alive(processes, "worker", group.tier)]
    if any(process.up < STUCK_SECONDS for process in involved):
        return False
    known = facts.conditions.get(group.deployment or "")
    served_at = None if known is None else known.served_at
    if group.code == Wait.TOKEN_LIMIT or served_at is None:
        return True
    return (facts.now - served_at) / SECOND_US > STUCK_SECONDS
