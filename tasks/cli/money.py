"""``tierqueue spend`` and ``audit``: what was spent, and the proof."""

from dataclasses import asdict
from datetime import UTC, datetime

import click

from tierqueue.ledger import reports
from tierqueue.router.duration import parse_duration
from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import format_usd
from tierqueue.tasks.cli.opened import opened
from tierqueue.tasks.cli.printing import emit, json_option, table


@click.command(epilog="Example: tierqueue spend --since 24h")
@click.option("--job", help="Of this job alone.")
@click.option("--since", help="Items submitted in the last 1h, 24h, 7d, …")
@json_option
def spend(job: str | None, since: str | None, as_json: bool) -> None:
    """Show calls, tokens and cost by tier, deployment and outcome."""
    after = None if since is None else _ago(since)
    with opened() as ledger, ledger.read() as connection:
        report = reports.report(connection, job=job, since=after)
    if as_json:
        sums = {"cost": report.cost, "overage": report.overage}
        nano = {f"{name}_nanousd": amount for name, amount in sums.items()}
        emit({**asdict(report), **nano, "tokens": report.tokens})
        return
    table(
        ["tier", "deployment", "outcome", "calls>", "tokens in>", "tokens out>", "cost>"],
        [
            (
                each.tier,
                each.deployment + (" (simulated)" if each.simulated else ""),
                each.outcome or "running",
                f"{each.attempts:,}",
                f"{sum(n for name, n in each.tokens.items() if name in _INPUT):,}",
                f"{each.tokens['output_tokens']:,}",
                format_usd(each.cost),
            )
            for each in report.lines
        ],
    )
    states = ", ".join(f"{count} {state}" for state, count in sorted(report.states.items()))
    click.echo(f"items: {states or 'none'}; cost {format_usd(report.cost)}")
    if report.overage:
        click.echo(f"overage: bills came in {format_usd(report.overage)} above their upper bounds")
    if report.dead:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report.dead.items()))
        click.echo(f"dead letters: {reasons}")


@click.command(epilog="Example: tierqueue audit || page the person on call")
@json_option
def audit(as_json: bool) -> None:
    """Prove that the books balance: exit 0 where they do, 1 where a figure is not its sum."""
    with opened() as ledger, ledger.read() as connection:
        wrong = reports.audit(connection)
    if as_json:
        emit({"balanced": not wrong, "discrepancies": [asdict(each) for each in wrong]})
    elif not wrong:
        click.echo("the books balance")
    else:
        rows = [
            (each.what, each.name, format_usd(each.stands), format_usd(each.should_be))
            for each in wrong
        ]
        table(["figure", "of", "stands>", "should be>"], rows)
    if wrong:
        raise click.exceptions.Exit(1)


_INPUT = {name for name in reports.TOKENS if name not in ("output_tokens", "reasoning_tokens")}


def _ago(text: str) -> int:
    try:
        return round(datetime.now(UTC).timestamp() * 1_000_000) - parse_duration(text)
    except ValueError as error:
        raise InvalidItem(str(error)) from None
