"""Ceilings: what waits for headroom, whether there will be any, and what a used-up one does."""

from collections.abc import Iterator, Sequence

from tierqueue.ledger.ceilings.balance import WindowedCeiling, label
from tierqueue.ledger.ceilings.status import CeilingStatus
from tierqueue.ledger.monitoring.backlog import WaitingItems
from tierqueue.ledger.monitoring.endings import SuccessCost
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.tasks.findings.finding import Facts, Finding
from tierqueue.tasks.plural import count

NEAR = 0.8
"""The share of a limit, spent and held, from which on a ceiling is near it."""


def full_of_holds(facts: Facts) -> Iterator[Finding]:
    """Items that wait for others' holds: some come back, and what does not fit then dies."""
    groups: dict[str, list[WaitingItems]] = {}
    for group in facts.progress.waiting:
        if group.ceiling is not None:
            groups.setdefault(group.ceiling.id, []).append(group)
    present = {ceiling.balance_id: ceiling for ceiling in facts.ceilings}
    for balance_id, waiting in sorted(groups.items()):
        if balance_id in present:
            yield _waiting_for(facts, present[balance_id], waiting)


def _waiting_for(facts: Facts, ceiling: CeilingStatus, waiting: Sequence[WaitingItems]) -> Finding:
    items = sum(group.items for group in waiting)
    least = min(group.least for group in waiting)
    left = ceiling.limit - ceiling.spent
    costs = [ended.spent for ended in facts.lately if _covers(ceiling, ended, facts)]
    expected = round(sum(costs) / len(costs)) if costs else None
    name, what = label(ceiling), ""
    fit = items
    if least > left:
        fit = 0
        what = "none fits any more"
    elif expected:
        # The last one still needs its whole bound.
        fit = min(items, (left - least) // expected + 1)
        what = f"the last ones cost {_usd(expected)} each, at which about {fit:,} fit"
    return Finding(
        code="ceiling_full",
        wrong=fit < items,
        what=f"{count(items, 'item', 'waits', 'wait')} for headroom in the ceiling {name}:"
        f" {_usd(ceiling.spent)} of {_usd(ceiling.limit)} spent, {_usd(ceiling.held)} held by"
        f" calls that run{facts.simulated}" + (f"; {what}" if what else ""),
        meanwhile=f"each goes on once there is headroom for its bound ({_usd(least)} at least); as"
        " soon as what is spent leaves no headroom for it, it dies with cost_ceiling",
        do=f"to let them all go on: {raise_command(ceiling)}",
        detail={
            "ceiling": name,
            "waiting_items": items,
            "fitting_items": fit if what else None,
            "limit_nanousd": ceiling.limit,
            "spent_nanousd": ceiling.spent,
            "held_nanousd": ceiling.held,
            "least_bound_nanousd": least,
            "expected_cost_nanousd": expected,
            "simulated": bool(facts.simulated),
        },
    )


def used_up(facts: Facts) -> Iterator[Finding]:
    """Ceilings that let nothing more go; what died of one is told by what died."""
    dying = {label(group.ceiling) for group in facts.toll.deaths if group.ceiling is not None}
    for ceiling in facts.ceilings:
        # A job's ceiling goes with its job; while one needs it, items die of it or wait for it.
        # With a purpose's used up there are no second items, and all other work goes on.
        if (
            ceiling.scope in ("job", "purpose")
            or label(ceiling) in dying
            or ceiling.spent < ceiling.limit
        ):
            continue
        window = "" if ceiling.window == "total" else f", also if the next {ceiling.window} is near"
        yield Finding(
            code="ceiling_used_up",
            wrong=False,
            what=f"the ceiling {label(ceiling)} is used up: {_usd(ceiling.spent)} of"
            f" {_usd(ceiling.limit)}{facts.simulated}",
            meanwhile="a new item under it that costs anything dies at once with cost_ceiling"
            f"{window}, unless it allows a fallback",
            do=f"{raise_command(ceiling)}, or hold its work back: tierqueue pause",
            detail={
                "ceiling": label(ceiling),
                "limit_nanousd": ceiling.limit,
                "spent_nanousd": ceiling.spent,
                "simulated": bool(facts.simulated),
            },
        )


def near(ceilings: Sequence[CeilingStatus]) -> list[CeilingStatus]:
    """Those with at least ``NEAR`` of their limit spent or held, the fullest first."""
    full = [
        ceiling
        for ceiling in ceilings
        if ceiling.limit and ceiling.spent + ceiling.held >= NEAR * ceiling.limit
    ]
    return sorted(full, key=lambda ceiling: -(ceiling.spent + ceiling.held) / ceiling.limit)


def raise_command(ceiling: WindowedCeiling) -> str:
    """The command that raises it and brings back what it ended."""
    return f"tierqueue ceilings raise {label(ceiling)} LIMIT --replay"


def _covers(ceiling: CeilingStatus, ended: SuccessCost, facts: Facts) -> bool:
    deployment = facts.deployments.get(ended.deployment)
    names = {
        "everything": "*",
        "budget": ended.budget,
        "tier": ended.tier,
        "deployment": ended.deployment,
        "provider": None if deployment is None else deployment.provider,
        "job": ended.job,
    }
    return names.get(ceiling.scope) == ceiling.name


def _usd(amount: int) -> str:
    return format_usd(NanoUSD(amount))
