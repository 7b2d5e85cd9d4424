"""``tierqueue actions``: what operators did, as the ledger wrote it down."""

from collections.abc import Mapping
from typing import Any

import click

from tierqueue.ledger import actions as log
from tierqueue.tasks.cli.opened import opened
from tierqueue.tasks.cli.printing import Column, emit, json_option, moment, table


@click.command(epilog="Example: tierqueue actions --limit 5")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def actions(limit: int, as_json: bool) -> None:
    """What operators did, the newest first: replays, discards, pauses, settings.

    Changes of ceilings stand in `tierqueue ceilings history`.
    """
    with opened() as ledger, ledger.read() as connection:
        rows = log.newest(connection, limit)
    if as_json:
        emit(
            [
                {
                    "id": row["id"],
                    "at_epoch_us": row["at"],
                    "by": row["by"],
                    "what": row["what"],
                    "detail": row["detail"],
                }
                for row in rows
            ]
        )
        return
    table(
        ["at", "by", "what", Column("to what", rank=1, long=True)],
        [(moment(row["at"]), row["by"], row["what"], _words(row["detail"])) for row in rows],
    )


def _words(detail: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in detail.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        first = ", ".join(str(part) for part in value[:3])
        return first if len(value) <= 3 else f"{first} and {len(value) - 3:,} more"
    return str(value)
