"""The screen of ``tierqueue status``: lines of at most 80 characters, and the same for scripts."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from tierqueue.ledger.ceilings.balance import label
from tierqueue.operations.cli.output.escapes import visible
from tierqueue.operations.cli.output.printing import moment
from tierqueue.operations.status import DeploymentStatus, Status, TierStatus
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.durations import duration

WIDTH = 80
"""Characters in a line at most."""

_HEAD = (
    f"{'TIER':<11}{'READY':>9}{'RUN':>6}{'WAIT':>7}{'OLDEST':>12}{'END/MIN':>9}{'EMPTY IN':>12}"
    f"{'WORK':>5}{'CALLS':>6}"
)

_MOST = 5
"""Lines of one kind: the screen is one."""


def screen(status: Status, keys: str = "") -> list[str]:
    """Everything of ``status``, the tiers first; ``keys`` says what may be pressed."""
    lines = [
        f"tierqueue  {moment(status.at)}" + (f"  {keys}" if keys else ""),
        _routing(status),
        *_simulated(status),
        *(
            []
            if status.refusal is None
            else [f"ledger     NO WRITES: {visible(status.refusal.said)}"]
        ),
        "",
        _HEAD,
        *(_tier(tier) for tier in status.tiers),
    ]
    if status.deployments:
        lines += ["", f"{'DEPLOYMENT':<26}{'TIER':<12}{'RUN':>6}{'WAIT':>7}  CONDITION"]
        troubled = sorted(
            status.deployments,
            key=lambda deployment: (not deployment.stopped, not deployment.waiting),
        )
        lines += _first(_deployment(deployment, status.at) for deployment in troubled)
    for title, found in (
        ("waits", _waits(status)),
        ("ceilings", _ceilings(status)),
        ("died, 1 h", _dead(status)),
        ("paused", (f"{pause.kind} {pause.name} by {pause.by}" for pause in status.paused)),
    ):
        for number, line in enumerate(_first(found)):
            lead = title if not number else ""
            lines += [""] if lead == "waits" else []
            lines.append(f"{lead:<11}{line}")
    return [_cut(line) for line in lines]


def _routing(status: Status) -> str:
    stages, unrouted = status.routing_stages, status.unrouted
    alive = f"{stages} stage{'s' if stages != 1 else ''} alive" if stages else "NO STAGE ALIVE"
    if unrouted is None:
        return f"routing    {alive}, nothing to route"
    more = "+" if unrouted.more else ""
    oldest = duration(unrouted.oldest_seconds)
    return f"routing    {alive}, {unrouted.ready:,}{more} to route, the oldest for {oldest}"


def _simulated(status: Status) -> Iterator[str]:
    if names := [deployment.name for deployment in status.deployments if deployment.simulated]:
        yield f"simulated  money and answers of {', '.join(names)}"


def _tier(tier: TierStatus) -> str:
    backlog, rate, empty = tier.backlog, tier.ended_per_second, tier.empty_seconds
    ready, oldest = "0", "-"
    if backlog is not None:
        ready = f"{backlog.ready:,}" + ("+" if backlog.more else "")
        oldest = duration(backlog.oldest_seconds)
    if tier.paused:
        in_time = "paused"
    elif tier.stopped:
        in_time = "stopped"
    elif empty is None:
        in_time = "-"
    else:
        in_time = (">" if backlog is not None and backlog.more else "") + duration(empty)
    ended = "-" if rate is None else f"{rate * 60:,.0f}"
    return (
        f"{tier.tier:<11}{ready:>9}{tier.running:>6,}{tier.waiting:>7,}{oldest:>12}{ended:>9}"
        f"{in_time:>12}{tier.workers:>5}{tier.concurrency:>6}"
    )


def _deployment(deployment: DeploymentStatus, now: int) -> str:
    name = deployment.name if len(deployment.name) < 26 else f"{deployment.name[:24]}…"
    return (
        f"{name:<26}{deployment.tier:<12}{deployment.running:>6,}{deployment.waiting:>7,}"
        f"  {_condition(deployment, now)}"
    )


def _condition(deployment: DeploymentStatus, now: int) -> str:
    if (held := deployment.condition) is not None:
        return f"{held.code} {duration((now - (held.since or now)) / SECOND_US)}"
    if stopped := deployment.stopped:
        return f"STOPPED by {stopped} worker{'s' if stopped != 1 else ''}"
    if deployment.loading_seconds is not None:
        return f"loading {duration(deployment.loading_seconds)}"
    return "ok"


def _waits(status: Status) -> Iterator[str]:
    for group in sorted(status.waiting, key=lambda group: -group.items):
        what = group.code if group.ceiling is None else f"{group.code} {label(group.ceiling)}"
        yield f"{group.items:>9,}  {what}" + (f" ({group.deployment})" if group.deployment else "")


def _ceilings(status: Status) -> Iterator[str]:
    for ceiling in status.near:
        share = (ceiling.spent + ceiling.held) / ceiling.limit
        yield (
            f"{share:>9.0%}  {label(ceiling)}: {_usd(ceiling.spent)} spent,"
            f" {_usd(ceiling.held)} held of {_usd(ceiling.limit)}"
        )


def _dead(status: Status) -> Iterator[str]:
    for reason, items in sorted(status.dead.items(), key=lambda pair: -pair[1]):
        yield f"{items:>9,}  tierqueue dead-letters list --reason {reason}"


def _first(lines: Iterable[str]) -> list[str]:
    whole = list(lines)
    if len(whole) <= _MOST:
        return whole
    return [*whole[: _MOST - 1], f"{'':>9}  and {len(whole) - _MOST + 1} more: --json has all"]


def _cut(line: str) -> str:
    line = visible(line)
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def _usd(amount: int) -> str:
    return format_usd(NanoUSD(amount))


def as_json_value(status: Status) -> dict[str, Any]:
    """The same for scripts; a key that holds a measure says in which unit."""
    return {
        "at_epoch_us": status.at,
        "ledger": {
            "takes_writes": status.refusal is None,
            "cause": status.refusal and status.refusal.cause,
            "said": status.refusal and status.refusal.said,
        },
        "routing": {
            "stages": status.routing_stages,
            "ready_items": status.unrouted.ready if status.unrouted else 0,
            "more": bool(status.unrouted and status.unrouted.more),
            "oldest_seconds": status.unrouted.oldest_seconds if status.unrouted else None,
        },
        "tiers": [
            {
                "tier": tier.tier,
                "ready_items": tier.backlog.ready if tier.backlog else 0,
                "more": bool(tier.backlog and tier.backlog.more),
                "oldest_seconds": tier.backlog.oldest_seconds if tier.backlog else None,
                "running_calls": tier.running,
                "waiting_items": tier.waiting,
                "ended_per_second": tier.ended_per_second,
                "empty_seconds": tier.empty_seconds,
                "workers": tier.workers,
                "concurrency_calls": tier.concurrency,
                "paused": tier.paused,
                "stopped": tier.stopped,
            }
            for tier in status.tiers
        ],
        "deployments": [
            {
                "deployment": deployment.name,
                "simulated": deployment.simulated,
                "tier": deployment.tier,
                "running_calls": deployment.running,
                "waiting_items": deployment.waiting,
                "stopped_workers": deployment.stopped,
                "loading_seconds": deployment.loading_seconds,
                "trouble": deployment.condition and deployment.condition.code,
                "trouble_since_epoch_us": deployment.condition and deployment.condition.since,
            }
            for deployment in status.deployments
        ],
        "waiting": [
            {
                "code": group.code,
                "ceiling": None if group.ceiling is None else label(group.ceiling),
                "detail": "" if group.ceiling is None else group.ceiling.id,
                "tier": group.tier,
                "deployment": group.deployment,
                "items": group.items,
            }
            for group in status.waiting
        ],
        "ceilings_near": [
            {
                "ceiling": label(ceiling),
                "limit_nanousd": ceiling.limit,
                "spent_nanousd": ceiling.spent,
                "held_nanousd": ceiling.held,
                "simulated": any(deployment.simulated for deployment in status.deployments),
            }
            for ceiling in status.near
        ],
        "dead_letters_last_hour": dict(status.dead),
        "paused": [asdict(pause) for pause in status.paused],
    }
