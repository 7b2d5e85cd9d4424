"""``tierqueue spend``: what was spent, on what, and what it would have cost elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import ago, job_named, one_of
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    on_terminal,
    paragraph,
    record,
    table,
)
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.item import BelowTier
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.duration import SECOND_US, utc

if TYPE_CHECKING:
    from tierqueue.ledger.accounting import audit
    from tierqueue.ledger.accounting.spending import GroupSpending
    from tierqueue.operations.accounting.caching import CacheUse
    from tierqueue.operations.accounting.comparison import Alternative, IdleCost
    from tierqueue.router.policy.policy import Policy

_MONEY = (
    *("cost", "held", "unknown", "overage", "per_accepted", "all_on_frontier"),
    *("per_hour", "charged", "idle_cost", "saved"),
)
"""Figures in nano-dollars."""

_BY = ("task", "tier", "deployment", "budget", "job", "purpose", "day")
"""What can be grouped by."""

_BAR = 24
"""Characters of the longest bar."""


@click.command(epilog="Example: tierqueue spend --by day --since 7d --plot spend.png")
@click.option("--by", type=one_of(_BY), default="tier", show_default=True, help="A line for each.")
@click.option("--job", help="Of this job alone.")
@click.option("--since", help="Calls begun and items submitted in the last 1h, 24h, 7d, …")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw it to a .png or .svg."
)
@json_option
def spend(by: str, job: str | None, since: str | None, plot: Path | None, as_json: bool) -> None:
    """Show what was spent, what an accepted item cost, and what all on frontier would have cost.

    The last is for the accepted answers' own token counts at today's prices of the cheapest
    frontier deployment of the policy. Days are UTC's.
    """
    from tierqueue.ledger.accounting import audit, spending
    from tierqueue.ledger.accounting.spending import SpendingQuery
    from tierqueue.ledger.session import now as database_now
    from tierqueue.operations.accounting.caching import cached
    from tierqueue.operations.accounting.comparison import all_on_frontier, idle

    if plot is not None:
        from tierqueue.operations.cli.output.plot_file import refuse_unusable

        refuse_unusable(plot)
    policy = _policy()
    begun = ago(since)
    with open_ledger() as ledger, ledger.read() as connection:
        job = None if job is None else job_named(connection, job)
        asked = SpendingQuery(since=begun, job=job, simulated=policy.simulated)
        report = audit.report(connection, job=job, since=asked.since)
        groups = spending.spending(connection, by, asked)
        used = list(spending.usages(connection, by, asked))
        counted = list(spending.usages(connection, "deployment", asked, accepted=False))
        deployments = spending.spending(connection, "deployment", asked)
        begin = spending.first_call(connection, asked)
        if asked.since is not None:
            first = spending.first_item(connection)
            begin = None if first is None else max(asked.since, first)
        now = database_now(connection)
    at = utc(now)
    frontier = all_on_frontier(used, policy, at)
    seconds = 0.0 if job is not None or begin is None else (now - begin) / SECOND_US
    engines = idle(policy, deployments, used, seconds, at)
    caches = cached(counted, policy, at)
    if plot is not None:
        from tierqueue.operations.cli.money.spending_plot import draw

        draw(plot, by, groups, frontier)
    if as_json:
        _emit(report, by, groups, frontier, engines, caches, policy.simulated)
    else:
        _print(report, by, groups, frontier)
        _print_engines(engines, policy.simulated)
        _print_caches(caches)
        if plot is not None:
            echo(f"drawn to {plot}")


def _policy() -> Policy:
    """The policy, for its prices; without one nothing is compared, and that is said."""
    from tierqueue.router.policy.policy import Policy

    try:
        return policy_in_force()
    except InvalidPolicy as error:
        echo(f"no comparison with frontier: {error.message}", err=True)
        return Policy(digest="")


def _emit(
    report: audit.Report,
    by: str,
    groups: Sequence[GroupSpending],
    frontier: Alternative | None,
    engines: Sequence[IdleCost],
    caches: Sequence[CacheUse],
    simulated: Collection[str],
) -> None:
    told: list[dict[str, Any]] = []
    for group in groups:
        there = frontier and frontier.costs.get((group.key, group.simulated), 0)
        whole = {**asdict(group), "per_accepted": group.per_accepted, "all_on_frontier": there}
        told.append(record(whole, money=_MONEY))
    emit(
        {
            "states": report.states,
            "dead": report.dead,
            "without_a_call": report.below,
            "lines": [
                {
                    **record(asdict(line), money=_MONEY),
                    "simulated": line.deployment in simulated
                    if line.simulated is None
                    else line.simulated,
                }
                for line in report.lines
            ],
            "cost_nanousd": report.cost,
            "simulated_nanousd": sum(group.cost for group in groups if group.simulated),
            "tokens": report.tokens,
            "by": by,
            "groups": told,
            "all_on_frontier": frontier
            and {
                "deployment": frontier.deployment,
                "simulated": frontier.simulated,
                "cost_nanousd": frontier.total,
            },
            "engines": [
                {
                    **record(asdict(engine), money=_MONEY),
                    "simulated": engine.deployment in simulated,
                }
                for engine in engines
            ],
            "caches": [record(asdict(cache), money=_MONEY) for cache in caches],
        }
    )


def _print(
    report: audit.Report, by: str, groups: Sequence[GroupSpending], frontier: Alternative | None
) -> None:
    most = max((group.cost for group in groups), default=0)
    there = {} if frontier is None else frontier.costs
    table(
        [
            by,
            *([Column("share", rank=8)] if on_terminal() else []),
            *("cost>", "items>"),
            Column("accepted", right=True, rank=2),
            Column("per accepted", right=True, rank=1),
            Column("tokens in", right=True, rank=6),
            Column("tokens out", right=True, rank=7),
            Column("all on frontier", right=True, rank=5),
            Column("unknown", right=True, rank=3),
            Column("overage", right=True, rank=4),
            Column("degraded", right=True, rank=4),
        ],
        [
            (
                marked(group.key, group.simulated),
                *([bar(group.cost, most)] if on_terminal() else []),
                format_usd(group.cost),
                f"{group.items:,}",
                f"{group.accepted:,}",
                None if group.per_accepted is None else format_usd(group.per_accepted),
                f"{group.input_tokens:,}",
                f"{group.output_tokens:,}",
                "" if frontier is None else format_usd(there.get((group.key, group.simulated), 0)),
                format_usd(group.unknown) if group.unknown_calls else "",
                format_usd(group.overage) if group.overage else "",
                group.degraded or "",
            )
            for group in groups
        ],
        empty="no call was made",
    )
    states = ", ".join(f"{count} {state}" for state, count in sorted(report.states.items()))
    made_up = sum(group.cost for group in groups if group.simulated)
    mark = f", of it {format_usd(made_up)} simulated" if made_up else ""
    echo(f"items: {states or 'none'}; cost {format_usd(report.cost)}{mark}")
    if report.dead:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report.dead.items()))
        echo(f"dead letters: {reasons}")
    if report.below:
        by_whom = ", ".join(
            f"{count:,} by {BelowTier(who).in_words}" for who, count in sorted(report.below.items())
        )
        echo(f"answered without a call: {by_whom}")
    if frontier is None:
        echo("all on frontier: unknown, no frontier deployment has token prices")
    else:
        whose = marked(frontier.deployment, frontier.simulated)
        spent = sum(group.cost for group in groups)
        paragraph(
            "",
            f"all on frontier: {format_usd(frontier.total)} at today's prices of {whose},"
            f" against {format_usd(spent)} spent{mark}",
        )


def _print_engines(engines: Sequence[IdleCost], simulated: Collection[str]) -> None:
    for engine in engines:
        paragraph(
            "",
            f"{marked(engine.deployment, engine.deployment in simulated)}:"
            f" {format_usd(engine.per_hour)} an hour over"
            f" {engine.seconds / 3600:.1f} h for one engine; {engine.busy:.0%} of it charged, idle"
            f" {format_usd(engine.idle_cost)}; {engine.tokens_per_hour:,} tokens an hour",
        )
        for other in engine.break_even:
            echo(
                f"  pays off against {marked(other.against, other.simulated)} from"
                f" {other.tokens_per_hour:,} tokens an hour"
            )
        if not engine.break_even:
            echo("  break-even unknown: no accepted call has shown which tokens are used")


def _print_caches(caches: Sequence[CacheUse]) -> None:
    for cache in caches:
        said = (
            f"{marked(cache.deployment, cache.simulated)}: its prompt cache served"
            f" {cache.hit_rate:.0%} of {cache.input_tokens:,} input tokens"
        )
        if cache.saved is not None:
            word = "saved" if cache.saved >= 0 else "cost more by"
            said += f" and {word} {format_usd(NanoUSD(abs(cache.saved)))} at today's prices"
        paragraph("", said)


def bar(value: int, most: int) -> str:
    """``value`` as a bar, the longest for ``most``; whatever is above 0 is seen."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, round(value * _BAR * 8 / most))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
