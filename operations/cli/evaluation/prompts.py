"""``tierqueue prompts``: two prompts of a task type, on a share of the traffic each."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import ago
from tierqueue.operations.cli.input.policies import simulated_known
from tierqueue.operations.cli.output.printing import Column, dollars, emit, json_option, table
from tierqueue.operations.cli.output.simulated import say_among

if TYPE_CHECKING:
    from tierqueue.ledger.evaluation.prompts import PromptResults
    from tierqueue.router.learned.certify import Interval

_Z = 1.96
"""Deviations of a mean within which the true one lies at 95 %."""


@click.command(epilog="Example: tierqueue prompts --task tierqueue.classify --since 14d")
@click.option("--task", help="Else each task type of which another prompt was asked.")
@click.option("--since", default="7d", show_default=True, help="Submitted in the last 24h, 7d, …")
@json_option
def prompts(task: str | None, since: str, as_json: bool) -> None:
    """Compare a task type's own prompt with another that a share of its items is asked under.

    Of the items that have ended: how many have an answer, how many of those that people judged are
    right, and what an item has cost over all its calls, each with the range in which the true
    figure lies at 95 %. Where the ranges overlap, neither is shown to be better.
    """
    from tierqueue.ledger.evaluation.prompts import compared
    from tierqueue.operations.cli.input.filters import refuse_unknown

    begin = ago(since)
    assert begin is not None
    with open_ledger() as ledger, ledger.read() as connection:
        refuse_unknown(connection, {"task": task})
        found, names = compared(connection, task, begin), simulated_known(connection)
    if as_json:
        emit([{**_as_dict(one), "simulated": bool(names)} for one in found])
        return
    table(
        [
            *("task", "prompt", "items>", "accepted>"),
            Column("accepted between", right=True, rank=2),
            Column("labelled", right=True, rank=1),
            "right>",
            Column("right between", right=True, rank=2),
            "an item>",
            Column("cost between", right=True, rank=3),
        ],
        [_row(one) for one in found],
        empty="no item was asked under another prompt in this time",
    )
    if found:
        say_among(names)


def _row(one: PromptResults) -> tuple[str, ...]:
    from tierqueue.router.learned.certify import share_of

    accepted, right = share_of(one.accepted, one.items), share_of(one.right, one.labelled)
    low, mean, high = _cost(one)
    return (
        one.task,
        one.prompt or "its own",
        f"{one.items:,}",
        f"{accepted.value:.1%}",
        _between(accepted),
        f"{one.labelled:,}",
        f"{right.value:.1%}" if one.labelled else "",
        _between(right) if one.labelled else "",
        dollars(mean),
        f"{dollars(low)} to {dollars(high)}",
    )


def _between(one: Interval) -> str:
    return f"{one.low:.1%} to {one.high:.1%}"


def _cost(one: PromptResults) -> tuple[float, float, float]:
    """What an item costs on average, in nano-dollars, between what it costs at least and most."""
    mean = one.cost / one.items
    variance = max(0.0, one.squares / one.items - mean * mean)
    off = _Z * sqrt(variance / one.items)
    return max(0.0, mean - off), mean, mean + off


def _as_dict(one: PromptResults) -> dict[str, Any]:
    from tierqueue.router.learned.certify import share_of

    accepted, right = share_of(one.accepted, one.items), share_of(one.right, one.labelled)
    low, mean, high = _cost(one)
    return {
        "task": one.task,
        "prompt": one.prompt,
        "items": one.items,
        "accepted": one.accepted,
        "accepted_share": round(accepted.value, 6),
        "accepted_low": round(accepted.low, 6),
        "accepted_high": round(accepted.high, 6),
        "labelled": one.labelled,
        "right": one.right,
        "right_share": round(right.value, 6) if one.labelled else None,
        "right_low": round(right.low, 6) if one.labelled else None,
        "right_high": round(right.high, 6) if one.labelled else None,
        "cost_nanousd": one.cost,
        "item_nanousd": round(mean),
        "item_low_nanousd": round(low),
        "item_high_nanousd": round(high),
    }
