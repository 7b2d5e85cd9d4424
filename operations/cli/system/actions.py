"""``tierqueue actions``: what operators did, as the ledger wrote it down."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from tierqueue.ledger import audit_log as log
from tierqueue.operations.cli.input.opened import opened
from tierqueue.operations.cli.output.printing import (
    Column,
    emit,
    json_option,
    moment,
    record,
    table,
)
from tierqueue.router.money import format_usd

_MONEY = ("max_cost", "moved")
_TIMES = ("since", "before", "ended_at")


@click.command(epilog="Example: tierqueue actions --limit 5")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
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
                    "detail": _detail(row["detail"]),
                }
                for row in rows
            ]
        )
        return
    table(
        ["at", "by", "what", Column("to what", rank=1, long=True)],
        [(moment(row["at"]), row["by"], row["what"], in_words(row["detail"])) for row in rows],
    )


def in_words(detail: Mapping[str, Any]) -> str:
    """What an action was done to, for people: money in dollars, a few of many ids."""
    return ", ".join(f"{name} {_value(name, value)}" for name, value in detail.items())


def _detail(detail: Mapping[str, Any]) -> dict[str, Any]:
    """The same for scripts, each figure with its unit."""
    told = record(detail, money=_MONEY)
    if "deaths" in told:
        told["deaths"] = [record(death, times=_TIMES) for death in told["deaths"]]
    if "filters" in told:
        told["filters"] = record(told["filters"], times=_TIMES)
    return told


def _value(name: str, value: Any) -> str:
    if name == "deaths":
        reasons = Counter(death["reason"] for death in value)
        return ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    if isinstance(value, Mapping):
        return in_words(value)
    if name in _TIMES and isinstance(value, int):
        return moment(value)
    if name in _MONEY and isinstance(value, int):
        return format_usd(value)
    if isinstance(value, list):
        first = ", ".join(str(part) for part in value[:3])
        return first if len(value) <= 3 else f"{first} and {len(value) - 3:,} more"
    return str(value)
