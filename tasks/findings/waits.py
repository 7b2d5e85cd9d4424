"""What waits for what, without a prophecy: only a time that is stated is certain to come."""

from collections.abc import Iterator

from tierqueue.tasks.findings.finding import Facts, Finding
from tierqueue.tasks.plural import count

_MEANWHILE = {
    "not_before": "they go on when their time comes",
    "throttled": "they are tried again after the time that the provider stated, until their"
    " deadlines",
}
_TRIED = "they are tried again by themselves, until their deadlines or until their calls are used"
_ELSEWHERE = ("ceiling",)
"""Codes that are told of by findings of their own."""


def found(facts: Facts) -> Iterator[Finding]:
    """A note for each reason."""
    items: dict[str, int] = {}
    tiers: dict[str, set[str]] = {}
    for group in facts.progress.waiting:
        if group.code not in _ELSEWHERE:
            items[group.code] = items.get(group.code, 0) + group.items
            tiers.setdefault(group.code, set()).add(group.deployment or "the routing stage")
    for code, number in sorted(items.items()):
        where = ", ".join(sorted(tiers[code]))
        yield Finding(
            code="waiting",
            wrong=False,
            what=f"{count(number, 'item', 'waits', 'wait')} for {where}: {code}",
            meanwhile=_MEANWHILE.get(code, _TRIED),
            do="nothing, unless it lasts: tierqueue status",
            detail={"reason": code, "items": number},
        )
