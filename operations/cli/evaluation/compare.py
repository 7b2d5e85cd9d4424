"""``tierqueue router compare``: second answers beside the first ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import ago
from tierqueue.operations.cli.input.options import task_named
from tierqueue.operations.cli.output.printing import (
    Column,
    dollars,
    emit,
    json_option,
    paragraph,
    table,
)
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.tasks.durations import duration
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.router.learned.certify import Interval
    from tierqueue.tasks.evaluation.comparing import Comparison, Delta


@click.command(epilog="Example: tierqueue router compare tierqueue.classify --since 7d")
@click.argument("task")
@click.option("--since", help="Second answers asked for in the last 24h, 7d, …")
@click.option("--field", help="The field of an answer that is compared; else all but a confidence.")
@click.option(
    "--most", default=50_000, show_default=True, type=click.IntRange(1, 200_000), help="Items."
)
@json_option
def compare(task: str, since: str | None, field: str | None, most: int, as_json: bool) -> None:
    """Compare the second answers to TASK with the first: explorations, and the shadow.

    How often both say the same, how many second ones were accepted (the first all were), what an
    item costs and how long its calls take, and how often each is right where people have said what
    is. Ranges are at 95 %; a second answer that is `more` costs or takes more than the first.
    """
    from tierqueue.ledger.evaluation import second_answers
    from tierqueue.tasks.evaluation import comparing

    name = task_named(task).name
    with open_ledger() as ledger, ledger.read() as connection:
        pairs = second_answers.pairs(connection, name, ago(since), most)
        found = comparing.compare(pairs, field)
    if as_json:
        emit([_as_dict(one) for one in found])
    else:
        _print(name, found)


def _as_dict(one: Comparison) -> dict[str, Any]:
    return {
        "purpose": one.purpose,
        "first": one.first,
        "second": one.second,
        "simulated": one.simulated,
        "first_simulated": one.first_simulated,
        "second_simulated": one.second_simulated,
        "waiting": one.waiting,
        "failed": dict(one.failed),
        "answers": one.answers,
        "accepted": _share(one.accepted) if one.answers else None,
        "agree": _share(one.agree),
        "cost_nanousd": _difference(one.cost),
        "seconds": _difference(one.seconds),
        "right": _difference(one.right),
    }


def _share(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else {k: round(v, 6) for k, v in asdict(found).items()}


def _difference(found: Delta | None) -> dict[str, Any] | None:
    if found is None:
        return None
    means = {"first": round(found.first, 6), "second": round(found.second, 6)}
    return {"items": found.items, **means, "more": _share(found.more)}


def _print(task: str, found: list[Comparison]) -> None:
    table(
        [
            "purpose",
            "first",
            "second",
            "answers>",
            "agree>",
            Column("between", right=True, rank=3),
            Column("accepted", right=True, rank=1),
            Column("cost", right=True, rank=1),
            Column("seconds", right=True, rank=2),
            Column("right", right=True, rank=2),
        ],
        [_row(one) for one in found],
        empty=f"no item of {task} was answered a second time",
    )
    for one in found:
        for line in _lines(one):
            paragraph("", line)


def _row(one: Comparison) -> tuple[str, ...]:
    agree, accepted, right = one.agree, one.accepted, one.right
    return (
        one.purpose,
        marked(one.first, one.first_simulated),
        marked(one.second, one.second_simulated),
        f"{one.answers:,}",
        "" if agree is None else f"{agree.value:.1%}",
        "" if agree is None else f"{agree.low:.1%} and {agree.high:.1%}",
        f"{accepted.value:.1%}" if one.answers else "",
        "" if one.cost is None else f"{dollars(one.cost.first)}, {dollars(one.cost.second)}",
        ""
        if one.seconds is None
        else f"{duration(one.seconds.first)}, {duration(one.seconds.second)}",
        "" if right is None else f"{right.first:.1%}, {right.second:.1%}",
    )


def _lines(one: Comparison) -> list[str]:
    """What the figures of a line say in words, and what is missing."""
    first = marked(one.first, one.first_simulated)
    who = f"{marked(one.second, one.second_simulated)} beside {first}"
    lines = []
    if one.cost is not None and one.cost.more is not None:
        low, value, high = (_signed(part) for part in asdict(one.cost.more).values())
        lines.append(f"{who}: an item costs {value} more, between {low} and {high}")
    if one.right is not None and one.right.more is not None:
        more = one.right.more
        lines.append(
            f"{who}: of {count(one.right.items, 'judged item')} it is right on {more.value:+.1%}"
            f" more, between {more.low:+.1%} and {more.high:+.1%}"
        )
    if one.right is None and one.answers:
        lines.append(f"{who}: which of the two is right nobody has said: tierqueue feedback")
    if one.waiting:
        lines.append(f"{who}: {count(one.waiting, 'second answer')} to come")
    if one.failed:
        why = ", ".join(f"{items:,} {reason}" for reason, items in sorted(one.failed.items()))
        lines.append(f"{who}: without an answer, and not counted: {why}")
    return lines


def _signed(nano: float) -> str:
    return f"-{dollars(-nano)}" if nano < 0 else dollars(nano)
