"""``tierqueue reconcile``: the books against a provider's usage export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.operator import by_option, operator
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.output.printing import Column, echo, emit, json_option, table
from tierqueue.operations.cli.output.simulated import say_among
from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import format_usd
from tierqueue.router.policy.policy_errors import there_is_no
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.accounting.reconciliation import Resolution
    from tierqueue.operations.accounting.reconciliation import Day, UnresolvedCharge


@click.command(epilog="Example: tierqueue reconcile usage.csv --deployment best --apply")
@click.argument("export", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--deployment", required=True, help="Whose calls the export lists.")
@click.option("--apply", is_flag=True, help="Correct unknown charges; without it only say so.")
@by_option
@json_option
def reconcile(export: Path, deployment: str, apply: bool, by: str | None, as_json: bool) -> None:
    """Compare EXPORT with the books day by day (UTC), and settle what unknown charges were.

    EXPORT is .csv with a header, .json (one list) or .jsonl. Each row has a `date` and a `cost` in
    dollars (or `cost_nanousd`); `model`, `input_tokens`, `output_tokens` and the `item` and
    `fence` of a call are read where they are there. Exit 1 where the books and the export still
    differ, or a charge stays unknown.
    """
    from tierqueue.ledger.accounting import reconciliation
    from tierqueue.ledger.session import now as database_now
    from tierqueue.operations.accounting.reconciliation import days, of_model, resolve
    from tierqueue.operations.accounting.usage_export import read

    policy = policy_in_force()
    if (found := policy.deployments.get(deployment)) is None:
        raise InvalidItem(there_is_no("deployment", deployment, policy.deployments))
    rows = of_model(read(export), found.model)
    if not rows:
        raise InvalidItem(f"{export} has no row of the model {found.model}")
    first, last = min(row.day for row in rows), max(row.day for row in rows)
    with open_ledger() as ledger:
        with ledger.read() as connection:
            booked = reconciliation.booked(connection, deployment, first, last)
            unknown = reconciliation.unknown_charges(connection, deployment, first, last)
            named = sorted({charge.call[0] for charge in unknown})
            fences = reconciliation.fences(connection, deployment, named)
        resolved, unresolved = resolve(rows, unknown, fences)
        moved = 0
        if apply:
            with ledger.write() as connection:
                moved = reconciliation.resolve(
                    connection,
                    resolved,
                    source=export.name,
                    by=by or operator(),
                    now=database_now(connection),
                )
    compared = days(rows, booked, resolved)
    if as_json:
        _emit(compared, resolved, unresolved, moved, apply, found.simulated)
    else:
        _print(compared, resolved, unresolved, moved, apply)
        say_among([deployment] if found.simulated else [])
    if unresolved or any(day.drift for day in compared):
        raise click.exceptions.Exit(1)


def _emit(
    compared: Sequence[Day],
    resolved: Sequence[Resolution],
    unresolved: Sequence[UnresolvedCharge],
    moved: int,
    applied: bool,
    simulated: bool,
) -> None:
    emit(
        {
            "simulated": simulated,
            "days": [
                {
                    "day": day.day.isoformat(),
                    "booked_nanousd": day.booked,
                    "unknown_nanousd": day.unknown,
                    "corrected_nanousd": day.corrected,
                    "billed_nanousd": day.billed,
                    "drift_nanousd": day.drift,
                }
                for day in compared
            ],
            "resolved": [
                {
                    "item": resolution.charge.call[0],
                    "fence": resolution.charge.call[1],
                    "booked_nanousd": resolution.charge.cost,
                    "billed_nanousd": resolution.cost,
                }
                for resolution in resolved
            ],
            "unresolved": [
                {
                    "item": charge.charge.call[0],
                    "fence": charge.charge.call[1],
                    "booked_nanousd": charge.charge.cost,
                    "why": charge.why,
                }
                for charge in unresolved
            ],
            "moved_nanousd": moved,
            "dry_run": not applied,
        }
    )


def _print(
    compared: Sequence[Day],
    resolved: Sequence[Resolution],
    unresolved: Sequence[UnresolvedCharge],
    moved: int,
    applied: bool,
) -> None:
    table(
        [
            *("day", "booked>"),
            Column("of it unknown", right=True, rank=2),
            Column("corrected by", right=True, rank=1),
            *("billed>", "drift>"),
        ],
        [
            (
                day.day.isoformat(),
                format_usd(day.booked),
                format_usd(day.unknown),
                format_usd(day.corrected),
                format_usd(day.billed),
                format_usd(day.drift),
            )
            for day in compared
        ],
    )
    for resolution in resolved:
        item, fence = resolution.charge.call
        echo(
            f"{item} fence {fence}: booked {format_usd(resolution.charge.cost)},"
            f" billed {format_usd(resolution.cost)}"
        )
    for left in unresolved:
        item, fence = left.charge.call
        echo(f"{item} fence {fence}: {format_usd(left.charge.cost)} stays unknown: {left.why}")
    if applied:
        echo(f"corrected {count(len(resolved), 'charge')}: the books moved by {format_usd(moved)}")
    elif resolved:
        echo(f"would correct {count(len(resolved), 'charge')}; say --apply to do it")
