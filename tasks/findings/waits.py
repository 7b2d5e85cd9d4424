"""What waits for what, without a prophecy: only a time that is stated is certain to come."""

from collections.abc import Iterator, Mapping

from tierqueue.router.lifecycle import Wait
from tierqueue.tasks.findings.finding import STUCK_SECONDS, Facts, Finding
from tierqueue.tasks.plural import count

_MEANWHILE: Mapping[str, str] = {
    Wait.NOT_BEFORE: "they go on when their time comes",
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


def found(facts: Facts) -> Iterator[Finding]:
    """A note for each reason; wrong is one that lasts and that no time mends."""
    items: dict[str, int] = {}
    tiers: dict[str, set[str]] = {}
    oldest: dict[str, float] = {}
    for group in facts.progress.waiting:
        # What waits for a ceiling is told with the ceiling.
        if group.code != Wait.CEILING:
            items[group.code] = items.get(group.code, 0) + group.items
            oldest[group.code] = max(oldest.get(group.code, 0.0), group.oldest_seconds)
            tiers.setdefault(group.code, set()).add(group.deployment or "the routing stage")
    for code, number in sorted(items.items()):
        where = ", ".join(sorted(tiers[code]))
        what = f"{count(number, 'item', 'waits', 'wait')} for {where}: {code}"
        detail = {"reason": code, "items": number}
        if code in _MEND and oldest[code] > STUCK_SECONDS:
            yield Finding(
                code="waiting_in_vain",
                wrong=True,
                what=f"{what}; the oldest was submitted {oldest[code]:.0f} s ago",
                meanwhile="they wait in the ledger, until their deadlines",
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
