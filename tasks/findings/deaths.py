"""Findings about dead letters: since when, of what, and the way back."""

from collections.abc import Iterator, Mapping

from tierqueue.ledger.ceilings.balance import label
from tierqueue.ledger.monitoring.endings import Deaths
from tierqueue.ledger.operations.dead_letters import NO_WAY_BACK
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.durations import age
from tierqueue.tasks.findings.ceilings import raise_command
from tierqueue.tasks.findings.finding import Facts, Finding
from tierqueue.tasks.plural import count

_ITS_OWN = frozenset(
    {
        *("invalid", "no_route", "deadline", "rejected", "low_confidence"),
        *("truncated", "repetition", "withheld"),
    }
)
"""Reasons that single items bring about themselves, and that their producers were told."""

MANY, SHARE = 10, 0.05
"""So many, and such a part of all that ended, are no single items any more."""

_MEND: Mapping[str, str] = {
    "exhausted": "see what its last call failed of",
    "unknown": "a second charge is possible: decide",
    "poison": "workers died holding it: read their log first",
    "egress": "correct the policy first",
    "unpriced": "state the deployment's price in the policy first",
    "deadline": "too slow, or held back: see tierqueue status first",
    "rejected": "read why its answer was refused; --floor raises the tier",
    "low_confidence": "read why its answer was refused; --floor raises the tier",
    "truncated": "raise its output limit, or the deployment's reasoning_tokens, first",
    "repetition": "--floor raises the tier",
    "grammar": "change the part of the model that answer_not_held names",
    "withheld": "--floor raises the tier, which another provider may serve",
    "no_route": "read what no deployment satisfies, correct the policy or the call",
}


def findings(facts: Facts) -> Iterator[Finding]:
    """A finding for each thing that ended items."""
    toll = facts.toll
    for group in toll.deaths:
        same = sum(death.items for death in toll.deaths if death.reason == group.reason)
        own = group.reason in _ITS_OWN or group.kind == "item"
        many = same >= MANY and same >= SHARE * max(toll.ended, 1)
        seconds = max(0, facts.now - group.last_at) // SECOND_US
        stated = facts.deployments.get(group.deployment or "")
        made_up = facts.simulated if stated is None or stated.simulated else ""
        yield Finding(
            code="died",
            wrong=many or not own,
            what=f"{count(group.items, 'item')} died: {_why(group)} ({group.task}"
            + (f" on {group.deployment}" if group.deployment else "")
            + f"), the last one {age(group.last_at, facts.now)} ago;"
            f" {'it' if group.items == 1 else 'they'} had cost"
            f" {format_usd(NanoUSD(group.spent))}{made_up}",
            meanwhile="nothing: a dead letter stays until somebody replays or discards it",
            do=_do(group),
            detail={
                "reason": group.reason,
                "kind": group.kind if group.ceiling is None else group.ceiling.id,
                "task": group.task,
                "deployment": group.deployment,
                "items": group.items,
                "spent_nanousd": group.spent,
                "simulated": bool(made_up),
                "last_seconds_ago": seconds,
                "example_item": group.example,
                "ended_items": toll.ended,
                "since_epoch_us": toll.since,
            },
        )


def _why(group: Deaths) -> str:
    if group.ceiling is not None:
        return f"{group.reason}, {label(group.ceiling)}"
    kind = "its own max_cost" if group.kind == "item" else group.kind
    return f"{group.reason}, {kind}" if kind else group.reason


def _do(group: Deaths) -> str:
    show = f"tierqueue dead-letters show {group.example}"
    seen = "seen and left: tierqueue doctor --acknowledge"
    if group.reason in NO_WAY_BACK:
        return f"{show}; to call it again, its producer corrects it; {seen}"
    replay = f"tierqueue dead-letters replay --reason {group.reason} --task {group.task} --yes"
    if group.reason == "cost_ceiling":
        if group.ceiling is not None:
            return f"{raise_command(group.ceiling)}; {seen}"
        return f"{replay} --max-cost AMOUNT; {seen}"
    mend = f" ({_MEND[group.reason]})" if group.reason in _MEND else ""
    return f"{show}{mend}; then {replay}; {seen}"
