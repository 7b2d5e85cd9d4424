"""``tierqueue item``: one work item and everything that was done for it."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tierqueue.ledger import dead_letters
from tierqueue.router.money import format_usd
from tierqueue.tasks.cli.named import item_named
from tierqueue.tasks.cli.opened import opened
from tierqueue.tasks.cli.printing import Column, emit, json_option, moment, say, table

_HIDDEN = ("arguments", "output")
"""What customers wrote and what they are told: shown only to who asks for it."""


@click.group()
def item() -> None:
    """Look at one work item."""


@item.command(epilog="Example: tierqueue item show 01a1fb7f-603c-71c9-9671-39b7af6c9a05")
@click.argument("item_id", metavar="ID")
@click.option("--payload", is_flag=True, help="Its arguments and its output too.")
@json_option
def show(item_id: str, payload: bool, as_json: bool) -> None:
    """Show item ID: its state, its route, its attempts and what they cost."""
    show_item(item_id, payload=payload, as_json=as_json)


def show_item(item_id: str, *, payload: bool, as_json: bool) -> None:
    """Print one item; raises ``InvalidItem`` where there is none of that id."""
    with opened() as ledger, ledger.read() as connection:
        found = dead_letters.show(connection, item_named(connection, item_id))
    assert found is not None
    row = {name: value for name, value in found[0].items() if payload or name not in _HIDDEN}
    history = [dict(each) for each in found[1]]
    if as_json:
        emit({"item": row, "attempts": history})
    else:
        _print(row, history)


def _print(row: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
    shown = {
        **row,
        "submitted_at": moment(row["submitted_at"]),
        "ended_at": moment(row["ended_at"]),
        "deadline": moment(row["deadline"]),
        "ready_at": moment(row["ready_at"]),
        "lease_until": moment(row["lease_until"]),
        **{
            name: None if row[name] is None else format_usd(row[name])
            for name in ("bound", "max_cost", "spent", "held")
        },
    }
    if row["error"]:
        shown["error"] = row["error"]["message"]
    if row["route"]:
        shown["route"] = "; ".join(row["route"].get("reasons", []))
    say(*(f"{name}: {value}" for name, value in shown.items() if value not in (None, "")))
    table(
        [
            *("fence>", "deployment"),
            Column("started", rank=2),
            "outcome",
            Column("seconds", right=True, rank=1),
            "cost>",
            Column("price", rank=3),
        ],
        [
            (
                each["fence"],
                each["deployment"] + (" (simulated)" if each["simulated"] else ""),
                moment(each["started_at"]),
                each["outcome"] or "running",
                each["seconds"] and round(each["seconds"], 3),
                None if each["cost"] is None else format_usd(each["cost"]),
                each["price_source"],
            )
            for each in history
        ],
        empty="no call was made for it",
    )
