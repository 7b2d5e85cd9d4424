"""``tierqueue review``: items that wait for a person, and what the person decides."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.evaluation.feedback import output_of
from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import ids_for_people, item_named
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.input.options import read_text, task_types
from tierqueue.operations.cli.input.policies import simulated_by_policy, simulated_known
from tierqueue.operations.cli.output.escapes import json_line
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    moment,
    paragraph,
    record,
    table,
)
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import NanoUSD, format_usd
from tierqueue.router.policy.duration import SECOND_US, parse_duration
from tierqueue.tasks.durations import age

if TYPE_CHECKING:
    from tierqueue.ledger.evaluation.reviews import WaitingReview
    from tierqueue.tasks.evaluation.review import Review

_TIMES, _MONEY = ("parked_at", "due"), ("spent",)


@click.group(cls=CommandGroup)
def review() -> None:
    """What no tier was sure enough of: list, show, assign it; accept, correct or reject it."""


@review.command(name="list", epilog="Example: tierqueue review list")
@click.option("--task", help="Of this task type.")
@click.option("--assignee", help="Whose they are.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
@json_option
def list_(task: str | None, assignee: str | None, limit: int, as_json: bool) -> None:
    """List what waits for a person, the first that runs out of time first."""
    from tierqueue.ledger.evaluation import reviews
    from tierqueue.ledger.results.simulated import of_items

    with open_ledger() as ledger:
        with ledger.read() as connection:
            found = reviews.pending(connection, task=task, assignee=assignee, most=limit)
            names = simulated_by_policy(connection)
            made_up = of_items(connection, [one.item for one in found], names)
            shown = ids_for_people(connection, [one.item for one in found])
        now = ledger.now()
    if as_json:
        emit([_as_dict(one, made_up) for one in found])
        return
    table(
        [
            "item",
            Column("waits", right=True, rank=1),
            "until",
            "reason",
            Column("task", rank=2),
            Column("assignee", rank=1),
            Column("cost", right=True, rank=3),
        ],
        [
            (
                shown[one.item],
                age(one.parked_at, now),
                moment(one.due),
                one.reason,
                one.task,
                one.assignee,
                marked(format_usd(NanoUSD(one.spent)), one.item in made_up),
            )
            for one in found
        ],
        empty="nothing waits for a person",
    )


@review.command(epilog="Example: tierqueue review show 01b30c2f-71d0-7aa1-8a10-2c5e4b9d6f11")
@click.argument("item_id", metavar="ITEM")
@json_option
def show(item_id: str, as_json: bool) -> None:
    """Show what ITEM was asked, and every answer that was refused, with why."""
    from tierqueue.ledger.evaluation import reviews
    from tierqueue.ledger.lifecycle import items
    from tierqueue.ledger.results.simulated import of_items

    with open_ledger() as ledger, ledger.read() as connection:
        item_id = item_named(connection, item_id)
        found = reviews.of_item(connection, item_id)
        if found is None:
            raise InvalidItem(f"item {item_id} waits for no review")
        row = items.get(connection, item_id)
        assert row is not None
        arguments, refused = row.arguments, reviews.refused(connection, item_id)
        names = simulated_known(connection)
        made_up = of_items(connection, [item_id], names)
    if as_json:
        told = [
            {
                "attempt": one.fence,
                "tier": one.tier,
                "deployment": one.deployment,
                "simulated": one.deployment in names,
                "reasons": list(one.reasons),
                "confidence": one.confidence,
                "answer": one.answer,
            }
            for one in refused
        ]
        emit({**_as_dict(found, made_up), "arguments": arguments, "answers": told})
        return
    echo(f"item {item_id}: {found.task}, {found.reason}, until {moment(found.due)}")
    for name, value in (arguments or {}).items():
        paragraph(f"{name}: ", value if isinstance(value, str) else json_line(value))
    for one in refused:
        sure = "" if one.confidence is None else f", confidence {one.confidence:.2f}"
        who = marked(one.deployment, one.deployment in names)
        echo(f"attempt {one.fence}, {who}{sure}: {'; '.join(one.reasons)}")
        kept = one.answer if isinstance(one.answer, str) else json_line(one.answer)
        paragraph("  ", "its answer was not kept" if one.answer is None else kept)


@review.command(
    epilog="Example: tierqueue review assign 01b30c2f-71d0-7aa1-8a10-2c5e4b9d6f11 --to ada"
    " --within 4h"
)
@click.argument("item_id", metavar="ITEM")
@click.option("--to", help="Whose it is from now on.")
@click.option("--within", help="It is to be decided within 30m, 4h, … from now.")
@json_option
def assign(item_id: str, to: str | None, within: str | None, as_json: bool) -> None:
    """Give ITEM to somebody, or another time to be decided in.

    Never beyond the item's own deadline: then it dies, whoever has it.
    """
    from tierqueue.tasks.evaluation.review import Review

    try:
        seconds = None if within is None else parse_duration(within) / SECOND_US
    except ValueError as error:
        raise InvalidItem(str(error)) from None
    with open_ledger() as ledger:
        with ledger.read() as connection:
            item_id = item_named(connection, item_id)
        due = Review(item_id).assign(to=to, within=seconds, by=operator())
    if as_json:
        emit(record({"item": item_id, "assignee": to, "due": due}, times=("due",)))
    else:
        whose = "" if to is None else f"{to}'s, "
        echo(f"item {item_id}: {whose}to be decided by {moment(due)}")


@review.command(epilog="Example: tierqueue review accept 01b30c2f-71d0-7aa1-8a10-2c5e4b9d6f11")
@click.argument("item_id", metavar="ITEM")
@click.option("--attempt", type=int, help="Whose answer is taken; else the last that has the form.")
@json_option
def accept(item_id: str, attempt: int | None, as_json: bool) -> None:
    """Take an answer of ITEM that was refused after all."""
    _decided(
        item_id, "accepted", as_json, lambda found: found.accept(by=operator(), answer=attempt)
    )


@review.command(
    epilog="Example: tierqueue review correct 01b30c2f-71d0-7aa1-8a10-2c5e4b9d6f11 card"
)
@click.argument("item_id", metavar="ITEM")
@click.argument("output")
@json_option
def correct(item_id: str, output: str, as_json: bool) -> None:
    """Answer ITEM with OUTPUT: JSON, a text, or @FILE."""
    said = output_of(read_text(output) or "")
    _decided(item_id, "corrected", as_json, lambda found: found.correct(said, by=operator()))


@review.command(
    epilog="Example: tierqueue review reject 01b30c2f-71d0-7aa1-8a10-2c5e4b9d6f11"
    " --why 'not in our language'"
)
@click.argument("item_id", metavar="ITEM")
@click.option("--why", required=True, help="Told to its producer.")
@json_option
def reject(item_id: str, why: str, as_json: bool) -> None:
    """End ITEM as a dead letter `rejected`."""
    _decided(item_id, "rejected", as_json, lambda found: found.reject(why, by=operator()))


def _decided(item_id: str, word: str, as_json: bool, decide: Callable[[Review], None]) -> None:
    from tierqueue.tasks.evaluation.review import Review

    task_types()
    with open_ledger() as ledger:
        with ledger.read() as connection:
            item_id = item_named(connection, item_id)
        decide(Review(item_id))
    if as_json:
        emit({"item": item_id, "decision": word})
    else:
        echo(f"item {item_id}: {word}")


def _as_dict(waiting: WaitingReview, simulated: Collection[str]) -> dict[str, Any]:
    told = record(waiting._asdict(), money=_MONEY, times=_TIMES)
    return {**told, "simulated": waiting.item in simulated}
