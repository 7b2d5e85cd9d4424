"""``tierqueue batch``: what was handed over to providers' batch APIs, and what came of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import SHOWN, only
from tierqueue.operations.cli.input.policies import simulated_known
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    moment,
    record,
    table,
)
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.money import format_usd

if TYPE_CHECKING:
    from tierqueue.ledger.lifecycle.batches import Batch
    from tierqueue.ledger.session import Transaction

_TIMES = (
    *("deadline", "formed_at", "poll_at", "lease_until", "creating_at", "cancelled_at"),
    *("over_at", "ended_at"),
)


@click.group(cls=CommandGroup)
def batch() -> None:
    """Batches at providers, half the price of live calls: what waits there and what came back."""


@batch.command(name="list", epilog="Example: tierqueue batch list --open")
@click.option("--open", "open_only", is_flag=True, help="Only those that are not over.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
@json_option
def list_(open_only: bool, limit: int, as_json: bool) -> None:
    """List batches, the newest first, with what their requests ended as."""
    from tierqueue.ledger.operations import batch_list

    with open_ledger() as ledger, ledger.read() as connection:
        rows = batch_list.newest(connection, limit, open_only=open_only)
        names = simulated_known(connection)
    if as_json:
        emit([_for_scripts(row, names) for row in rows])
        return
    table(
        [
            *("id", Column("formed", rank=2), "deployment", "state", "items>"),
            Column("deadline", rank=3),
            Column("came to", rank=1, long=True),
        ],
        [
            (
                row.id,
                moment(row.formed_at),
                marked(row.deployment, row.deployment in names),
                _state(row),
                f"{row.size:,}",
                moment(row.deadline),
                _came_to(row),
            )
            for row in rows
        ],
    )


@batch.command(epilog="Example: tierqueue batch show 01a1fb7f")
@click.argument("batch_id", metavar="ID")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(0, 50_000), help="Most items."
)
@json_option
def show(batch_id: str, limit: int, as_json: bool) -> None:
    """Show one batch and its items: where it stands, what it held and what it has cost.

    The beginning of its ID is enough where no other begins so.
    """
    from tierqueue.ledger.operations import batch_list

    with open_ledger() as ledger, ledger.read() as connection:
        row = _one(connection, batch_id)
        cost = batch_list.cost_of(connection, row.id)
        items = batch_list.items_of(connection, row.id, limit)
        names = simulated_known(connection)
    if as_json:
        told = [record(item._asdict(), money=("cost",)) for item in items]
        emit({**_for_scripts(row, names), "cost_nanousd": cost, "items": told})
        return
    who = marked(row.deployment, row.deployment in names)
    echo(
        f"batch {row.id} for {who}: {_state(row)}, {row.size:,} items",
        f"formed {moment(row.formed_at)}, first deadline {moment(row.deadline)}",
        f"at the provider: {row.remote or 'not yet'} ({row.remote_state or '-'})",
        f"at most {format_usd(row.held)} held, {format_usd(cost)} spent or booked",
        f"came to: {_came_to(row)}",
    )
    table(
        ["item", "in the batch", "now", "cost>"],
        [
            (
                item.item_id,
                item.outcome or "not known yet",
                item.state,
                "" if item.cost is None else format_usd(item.cost),
            )
            for item in items
        ],
    )


def _one(connection: Transaction, batch_id: str) -> Batch:
    from tierqueue.ledger.operations import batch_list

    found = {row.id: row for row in batch_list.starting(connection, batch_id, SHOWN + 1)}
    return found[only("batch", batch_id, list(found))]


def _state(row: Batch) -> str:
    cancelling = row.cancelled_at is not None and row.ended_at is None
    return f"{row.state}, cancelling" if cancelling else row.state


def _came_to(row: Batch) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in (row.counts or {}).items() if count)
    return " · ".join(filter(None, (counts, row.error))) or "-"


def _for_scripts(row: Batch, simulated: Collection[str]) -> dict[str, Any]:
    told = record(row._asdict(), money=("held",), times=_TIMES)
    return {"batch": row.id, **told, "simulated": row.deployment in simulated}
