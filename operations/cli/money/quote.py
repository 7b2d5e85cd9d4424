"""``tierqueue quote``: what a file of work would cost, before anything runs."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tierqueue.ledger.accounting import spending
from tierqueue.ledger.accounting.spending import Asked, Past
from tierqueue.ledger.in_force import tier_concurrency
from tierqueue.ledger.session import now as database_now
from tierqueue.operations.cli.input.opened import opened
from tierqueue.operations.cli.input.options import demand_options, given, read_arguments, task_named
from tierqueue.operations.cli.output.printing import (
    Column,
    duration,
    emit,
    json_option,
    paragraph,
    record,
    say,
    table,
)
from tierqueue.operations.cli.system.policy import read_policy
from tierqueue.router.money import format_usd
from tierqueue.tasks.jobs.expectation import Expected
from tierqueue.tasks.jobs.quote import Quote
from tierqueue.tasks.jobs.quote import quote as quoted
from tierqueue.tasks.jobs.submission import Submission


@click.command(
    epilog="Example: tierqueue quote tickets.csv --task tierqueue.classify --column text"
    " --set labels=@labels.txt --risk internal"
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", "name", required=True, help="Such as tierqueue.classify.")
@click.option("--column", help="Read this column alone, as the task's first argument.")
@click.option("--set", "texts", multiple=True, metavar="NAME=VALUE", help="Or NAME=@file.")
@demand_options
@json_option
def quote(
    file: Path,
    name: str,
    column: str | None,
    texts: tuple[str, ...],
    as_json: bool,
    **demands: Any,
) -> None:
    """Say what FILE would come to as a job: where its rows would go, for how much, how long.

    FILE is read as `job submit` reads it; nothing is sent and nothing is written. The upper bound
    is that of one call a row: retries and escalations come on top, each within every ceiling. What
    is expected includes them, as items of this task type have needed them so far: the fewer these
    are, the wider its range. Exit 1 where a row would be refused.
    """
    policy, _ = read_policy(None)
    task = task_named(name)
    submission = Submission(
        task, file, {**read_arguments(task, texts), **given(demands)}, column=column
    )
    simulated = frozenset(each.name for each in policy.deployments.values() if each.simulated)
    with opened() as ledger:
        with ledger.read() as connection:
            past = spending.past(connection, name, Asked(simulated=simulated))
            in_force = tier_concurrency.all_concurrency(connection)
            now = database_now(connection)
        found = quoted(submission.made(), policy, past, in_force, now)
    if as_json:
        _emit(found)
    else:
        _print(found)
    if found.refused:
        raise click.exceptions.Exit(1)


def _emit(found: Quote) -> None:
    emit(
        {
            "rows": found.rows,
            "bound_nanousd": found.bound,
            **_told(found.expected),
            "learned_from_items": found.learned_from,
            "seconds": found.seconds,
            "parts": [
                {
                    "tier": part.tier.value,
                    "deployment": part.deployment,
                    "simulated": part.simulated,
                    "rows": part.rows,
                    "bound_nanousd": part.bound,
                    **_told(part.expected),
                    "past": None if part.past is None else _past(part.past),
                }
                for part in found.parts.values()
            ],
            "refused": {reason: asdict(refusal) for reason, refusal in found.refused.items()},
        }
    )


def _told(expected: Expected | None) -> dict[str, int | None]:
    return {
        "expected_nanousd": None if expected is None else round(expected.value),
        "low_nanousd": None if expected is None else round(expected.low),
        "high_nanousd": None if expected is None else round(expected.high),
    }


def _past(past: Past) -> dict[str, Any]:
    told = record(asdict(past), money=("cost",))
    return {name: value for name, value in told.items() if name != "squares"}


def _print(found: Quote) -> None:
    table(
        [
            Column("tier", rank=3),
            *("deployment", "rows>"),
            Column("share", right=True, rank=4),
            *("at most>", "expected>"),
            Column("between", rank=2),
            Column("from", rank=1),
        ],
        [
            (
                part.tier.value,
                part.deployment + (" (simulated)" if part.simulated else ""),
                f"{part.rows:,}",
                f"{part.rows / found.rows:.0%}",
                format_usd(part.bound),
                "unknown" if part.expected is None else _dollars(part.expected.value),
                "" if part.expected is None else _range(part.expected),
                "nothing" if part.past is None else _items(part.past.items),
            )
            for part in found.parts.values()
        ],
        empty="no row would go anywhere",
    )
    for reason, refusal in sorted(found.refused.items()):
        rows = "row" if refusal.rows == 1 else "rows"
        say(f"refused: {refusal.rows:,} {rows} {reason}, the first has index {refusal.first}:")
        say(f"  {refusal.why}")
    say(f"{found.rows:,} rows: at most {format_usd(found.bound)} for one call each")
    if found.expected is not None:
        paragraph(
            "",
            f"expected: {_dollars(found.expected.value)} with retries and escalations, between"
            f" {_range(found.expected)} (95%), from {_items(found.learned_from)}",
        )
    else:
        unknown = [part.deployment for part in found.parts.values() if part.expected is None]
        say(f"expected: unknown, no item of this task type has ended on {', '.join(unknown)}")
    if found.seconds is None:
        say(f"time: unknown, {found.untimed}")
    else:
        say(f"time: about {duration(found.seconds)} once it begins")


def _dollars(nano: float) -> str:
    """An estimate to three figures: more would say that it is known."""
    whole = round(nano)
    return format_usd(round(whole, 3 - len(str(whole)))) if whole > 0 else "$0.00"


def _range(expected: Expected) -> str:
    return f"{_dollars(expected.low)} and {_dollars(expected.high)}"


def _items(count: int) -> str:
    return f"{count:,} {'item' if count == 1 else 'items'}"
