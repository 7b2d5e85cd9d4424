"""``tierqueue dead-letters``: what ended without an answer, and the two ways out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import ids_for_people, one_of
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.input.policies import simulated_by_policy
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    identified,
    json_option,
    moment,
    record,
    table,
)
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.operations.cli.work.item import MONEY, TIMES, show_item
from tierqueue.operations.cli.work.letters import act_on, filters, pages, wanted_by
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.money import format_usd, parse_usd
from tierqueue.tasks.durations import age
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.operations.dead_letters import DeadLetter, DeadLetterQuery
    from tierqueue.ledger.session import Ledger


@click.group(cls=CommandGroup)
def dead_letters() -> None:
    """What ended without an answer: list it, look at it, replay it, discard it."""


@dead_letters.command(name="list", epilog="Example: tierqueue dead-letters list --reason no_route")
@filters
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
@json_option
def list_(limit: int, as_json: bool, **chosen: str | None) -> None:
    """List dead letters, the newest first."""
    from tierqueue.ledger.operations import dead_letters as letters
    from tierqueue.ledger.results.simulated import of_items

    with open_ledger() as ledger:
        wanted = wanted_by(ledger, **chosen)
        with ledger.read() as connection:
            rows = letters.listed(connection, wanted, limit)
            ids = [row.id for row in rows]
            made_up = of_items(connection, ids, simulated_by_policy(connection))
            shown = ids_for_people(connection, ids)
        now = ledger.now()
    if as_json:
        emit(
            [
                {
                    **record(identified(row._asdict()), money=MONEY, times=TIMES),
                    "simulated": row.id in made_up,
                }
                for row in rows
            ]
        )
        return
    table(
        [
            "id",
            Column("age", right=True, rank=1),
            Column("ended", rank=4),
            "reason",
            Column("task", rank=3),
            Column("tier", rank=5),
            "cost>",
            Column("why", rank=2, long=True),
        ],
        [
            (
                shown[row.id],
                age(row.ended_at, now),
                moment(row.ended_at),
                row.reason,
                row.task,
                row.tier,
                marked(format_usd(row.spent), row.id in made_up),
                row.message,
            )
            for row in rows
        ],
        empty="no dead letter is meant",
    )
    if len(rows) == limit:
        echo(f"the newest {limit}; there may be more: --limit")


@dead_letters.command(
    epilog="Example: tierqueue dead-letters show 01a1fb7f-603c-71c9-9671-39b7af6c"
)
@click.argument("item_id", metavar="ID")
@click.option("--payload", is_flag=True, help="Its arguments too.")
@json_option
def show(item_id: str, payload: bool, as_json: bool) -> None:
    """Show one dead letter: why it is dead, its attempts, what they cost."""
    show_item(item_id, payload=payload, as_json=as_json)


@dead_letters.command(
    epilog="Example: tierqueue dead-letters replay --reason cost_ceiling --since 24h --yes"
)
@click.argument("item_ids", metavar="[ID]...", nargs=-1)
@filters
@click.option("--floor", type=one_of([t.value for t in TIERS]), help="Raise theirs to this.")
@click.option("--max-cost", help="Instead of theirs, such as 0.05usd; what was spent counts.")
@click.option("--yes", is_flag=True, help="Do it; without it only say what would be done.")
@json_option
def replay(
    item_ids: tuple[str, ...],
    floor: str | None,
    max_cost: str | None,
    yes: bool,
    as_json: bool,
    **chosen: str | None,
) -> None:
    """Submit dead letters again: those of these IDs, or all that the filters choose.

    What was never a work item (invalid, undecodable) has no way back: submit it again, corrected.
    Nor has what was erased.
    """
    raised = None if floor is None else Tier(floor)
    cost = None if max_cost is None else parse_usd(max_cost)

    def once(_: Ledger, ids: list[str], chosen_by: DeadLetterQuery | None) -> int:
        from tierqueue.tasks.app import app
        from tierqueue.tasks.results.replay import replay as put_back

        back = put_back(app, ids, operator(), floor=raised, max_cost=cost, chosen_by=chosen_by)
        return len(back)

    act_on("replay", once, item_ids, chosen, yes=yes, as_json=as_json)


@dead_letters.command(epilog="Example: tierqueue dead-letters export dead.jsonl --since 7d")
@click.argument("file", type=click.Path(dir_okay=False))
@filters
@click.option("--payload", is_flag=True, help="Their arguments too.")
@json_option
def export(file: str, payload: bool, as_json: bool, **chosen: str | None) -> None:
    """Write dead letters with their attempts to FILE, one JSON object a line, the newest first.

    A file that is there already is left alone.
    """
    written = 0
    try:
        with open_ledger() as ledger:
            wanted = wanted_by(ledger, **chosen)
            with Path(file).open("x", encoding="utf-8") as lines:
                for page in pages(ledger, wanted):
                    for row in page:
                        lines.write(json.dumps(_exported(ledger, row, payload=payload)) + "\n")
                        written += 1
    except FileExistsError:
        raise InvalidItem(f"{file} is there already") from None
    except OSError as error:
        raise InvalidItem(f"cannot write {file}: {error.strerror}") from None
    if as_json:
        emit({"file": file, "dead_letters": written})
    else:
        echo(f"{count(written, 'dead letter')} in {file}")


def _exported(ledger: Ledger, letter: DeadLetter, *, payload: bool) -> dict[str, Any]:
    from tierqueue.ledger.operations import dead_letters as letters
    from tierqueue.ledger.results.simulated import of_items

    with ledger.read() as connection:
        shown = letters.show(connection, letter.id)
        assert shown is not None, letter.id
        made_up = of_items(connection, [letter.id], simulated_by_policy(connection))
    item, attempts = shown
    told = record(identified(letter._asdict()), money=MONEY, times=TIMES)
    told["simulated"] = letter.id in made_up
    told["attempts"] = [
        record(identified(attempt._asdict()), money=MONEY, times=TIMES) for attempt in attempts
    ]
    return {**told, "arguments": item.arguments, "metadata": item.metadata} if payload else told


@dead_letters.command(epilog="Example: tierqueue dead-letters discard --job 01a1fb7f-603c --yes")
@click.argument("item_ids", metavar="[ID]...", nargs=-1)
@filters
@click.option("--yes", is_flag=True, help="Do it; without it only say what would be done.")
@json_option
def discard(item_ids: tuple[str, ...], yes: bool, as_json: bool, **chosen: str | None) -> None:
    """Cancel dead letters for good: those of these IDs, or all that the filters choose."""
    from tierqueue.ledger.operations import dead_letters as letters

    def once(ledger: Ledger, ids: list[str], chosen_by: DeadLetterQuery | None) -> int:
        with ledger.write() as connection:
            return len(letters.discard(connection, ids, operator(), chosen_by=chosen_by).ended)

    act_on("discard", once, item_ids, chosen, yes=yes, as_json=as_json)
