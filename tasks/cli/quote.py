"""``tierqueue quote``: what a file of work would cost, before anything runs."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from tierqueue.ledger import spending, tiers
from tierqueue.ledger.session import now as database_now
from tierqueue.ledger.spending import Asked
from tierqueue.router.money import format_usd
from tierqueue.tasks.cli.opened import opened
from tierqueue.tasks.cli.policy import read_policy
from tierqueue.tasks.cli.printing import Column, emit, json_option, say, table
from tierqueue.tasks.cli.stated import demand_options, given, read_arguments, task_named
from tierqueue.tasks.jobs import Submission
from tierqueue.tasks.quote import GUESS, Quote
from tierqueue.tasks.quote import quote as quoted


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
    is that of one call a row: retries and escalations come on top, each within every ceiling.
    Exit 1 where a row would be refused.
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
            in_force = tiers.all_concurrency(connection)
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
            "bound": found.bound,
            "expected": found.expected,
            "guessed": found.guessed,
            "guess_share": GUESS,
            "seconds": found.seconds,
            "parts": [
                {
                    "tier": each.tier.value,
                    "deployment": each.deployment,
                    "simulated": each.simulated,
                    "rows": each.rows,
                    "bound": each.bound,
                    "expected": each.expected,
                    "past": None if each.past is None else asdict(each.past),
                }
                for each in found.parts.values()
            ],
            "refused": {reason: asdict(each) for reason, each in found.refused.items()},
        }
    )


def _print(found: Quote) -> None:
    table(
        [
            Column("tier", rank=2),
            *("deployment", "rows>"),
            Column("share", right=True, rank=3),
            *("at most>", "expected>"),
            Column("from", rank=1),
        ],
        [
            (
                each.tier.value,
                each.deployment + (" (simulated)" if each.simulated else ""),
                f"{each.rows:,}",
                f"{each.rows / found.rows:.0%}",
                format_usd(each.bound),
                format_usd(each.expected),
                f"a guess: {GUESS:.0%} of the bound"
                if each.past is None
                else f"{each.past.accepted:,} accepted items",
            )
            for each in found.parts.values()
        ],
    )
    for reason, each in sorted(found.refused.items()):
        say(f"refused: {each.rows:,} rows {reason}, the first is row {each.first}:")
        say(f"  {each.why}")
    guess = " (partly a guess)" if found.guessed else ""
    say(
        f"{found.rows:,} rows: at most {format_usd(found.bound)} for one call each,"
        f" expected {format_usd(found.expected)}{guess}"
    )
    if found.seconds is None:
        say("time: unknown without history")
    else:
        say(f"time: about {timedelta(seconds=round(found.seconds))} once it begins")
