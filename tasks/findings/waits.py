"""What waits for what, without a prophecy: only a time that is stated is certain to come."""

from collections.abc import Iterator

from tierqueue.ledger.lifecycle.routes import NO_LIMITER, NOT_SERVED, OTHER_POLICY, TOO_LARGE
from tierqueue.tasks.findings.finding import STUCK_SECONDS, Facts, Finding
from tierqueue.tasks.plural import count

_MEANWHILE = {
    "not_before": "they go on when their time comes",
    "throttled": "they are tried again after the time that the provider stated, until their"
    " deadlines",
}
_TRIED = "they are tried again by themselves, until their deadlines or until their calls are used"
_RESTART = (
    "restart the routing stage and all workers with the same policy; what was submitted stays"
)
_MEND = {
    NOT_SERVED: _RESTART,
    OTHER_POLICY: _RESTART,
    NO_LIMITER: "read the workers' log: does Redis answer, is its memory full, may it write?",
    TOO_LARGE: _RESTART,
}
"""What somebody does about a reason that no time mends."""

_ELSEWHERE = ("ceiling",)
"""Codes that are told of by findings of their own."""


def found(facts: Facts) -> Iterator[Finding]:
    """A note for each reason; wrong is one that lasts and that no time mends."""
    items: dict[str, int] = {}
    tiers: dict[str, set[str]] = {}
    oldest: dict[str, float] = {}
    for group in facts.progress.waiting:
        if group.code not in _ELSEWHERE:
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
                what=f"{what}, the oldest since {oldest[code]:.0f} s",
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
