"""``tierqueue dead-letters``: what ended without an answer, and the two ways out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tierqueue.operations.cli.input.names import between, item_named, job_named, one_of
from tierqueue.operations.cli.input.opened import opened
from tierqueue.operations.cli.output.printing import (
    Column,
    age,
    emit,
    identified,
    json_option,
    moment,
    record,
    say,
    table,
)
from tierqueue.operations.cli.system.concurrency import operator
from tierqueue.operations.cli.work.item import MONEY, TIMES, show_item
from tierqueue.router.errors import BY_REASON, InvalidItem
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.lifecycle import State
from tierqueue.router.money import format_usd, parse_usd
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.operations.dead_letters import Wanted
    from tierqueue.ledger.session import Ledger

F = TypeVar("F", bound=Callable[..., Any])

_BATCH = 500
"""Dead letters in one transaction."""

_SUBMIT_AGAIN = "submit it again, corrected"

_FILTERS = (
    click.option("--reason", type=one_of(sorted(BY_REASON)), help="Ended for this reason."),
    click.option("--task", help="Such as tierqueue.classify."),
    click.option("--tier", type=one_of([tier.value for tier in TIERS]), help="Of this tier."),
    click.option("--deployment", help="To which it was last routed."),
    click.option("--budget", help="Paid by this budget."),
    click.option("--job", help="Of this job alone."),
    click.option("--since", help="Ended in the last 1h, 24h, 7d, …"),
    click.option("--older-than", help="Ended longer ago than 1h, 24h, 7d, …"),
)


def _filters(command: F) -> F:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def _wanted(
    ledger: Ledger,
    since: str | None = None,
    older_than: str | None = None,
    job: str | None = None,
    **stated: str | None,
) -> Wanted:
    from tierqueue.ledger.operations.dead_letters import Wanted
    from tierqueue.operations.cli.input.filters import refuse_unknown

    with ledger.read() as connection:
        refuse_unknown(connection, stated)
        job_id = None if job is None else job_named(connection, job)
    begin, end = between(since, older_than)
    return Wanted(**stated, job=job_id, since=begin, before=end)


@click.group()
def dead_letters() -> None:
    """What ended without an answer: list it, look at it, replay it, discard it."""


@dead_letters.command(name="list", epilog="Example: tierqueue dead-letters list --reason no_route")
@_filters
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
@json_option
def list_(limit: int, as_json: bool, **filters: str | None) -> None:
    """List dead letters, the newest first."""
    from tierqueue.ledger.operations import dead_letters as letters

    with opened() as ledger:
        wanted = _wanted(ledger, **filters)
        with ledger.read() as connection:
            rows = letters.listed(connection, wanted, limit)
        now = ledger.now()
    if as_json:
        emit([record(identified(row), money=MONEY, times=TIMES) for row in rows])
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
                row["id"],
                age(row["ended_at"], now),
                moment(row["ended_at"]),
                row["reason"],
                row["task"],
                row["tier"],
                format_usd(row["spent"]),
                (row["error"] or {}).get("message"),
            )
            for row in rows
        ],
        empty="no dead letter is meant",
    )
    if len(rows) == limit:
        say(f"the newest {limit}; there may be more: --limit")


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
@_filters
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
    **filters: str | None,
) -> None:
    """Submit dead letters again: those of these IDs, or all that the filters choose.

    What was never a work item (invalid, undecodable) has no way back: submit it again, corrected.
    """
    raised = None if floor is None else Tier(floor)
    cost = None if max_cost is None else parse_usd(max_cost)

    def once(_: Ledger, ids: list[str], chosen_by: Wanted | None) -> int:
        from tierqueue.tasks.app import app
        from tierqueue.tasks.results.replay import replay as put_back

        back = put_back(app, ids, operator(), floor=raised, max_cost=cost, chosen_by=chosen_by)
        return len(back)

    _each("replay", once, item_ids, filters, yes=yes, as_json=as_json)


@dead_letters.command(epilog="Example: tierqueue dead-letters export dead.jsonl --since 7d")
@click.argument("file", type=click.Path(dir_okay=False))
@_filters
@click.option("--payload", is_flag=True, help="Their arguments too.")
def export(file: str, payload: bool, **filters: str | None) -> None:
    """Write dead letters with their attempts to FILE, one JSON object a line, the newest first.

    A file that is there already is left alone.
    """
    written = 0
    try:
        with opened() as ledger:
            wanted = _wanted(ledger, **filters)
            with Path(file).open("x", encoding="utf-8") as lines:
                for page in _pages(ledger, wanted):
                    for row in page:
                        lines.write(json.dumps(_exported(ledger, row, payload=payload)) + "\n")
                        written += 1
    except FileExistsError:
        raise InvalidItem(f"{file} is there already") from None
    except OSError as error:
        raise InvalidItem(f"cannot write {file}: {error.strerror}") from None
    say(f"{count(written, 'dead letter')} in {file}")


def _exported(ledger: Ledger, row: Any, *, payload: bool) -> dict[str, Any]:
    from tierqueue.ledger.operations import dead_letters as letters

    with ledger.read() as connection:
        shown = letters.show(connection, row["id"])
    item, attempts = shown if shown is not None else (row, [])
    told = record(identified(row), money=MONEY, times=TIMES)
    told["attempts"] = [
        record(identified(attempt), money=MONEY, times=TIMES) for attempt in attempts
    ]
    return (
        {**told, "arguments": item["arguments"], "metadata": item["metadata"]} if payload else told
    )


@dead_letters.command(epilog="Example: tierqueue dead-letters discard --job 01a1fb7f-603c --yes")
@click.argument("item_ids", metavar="[ID]...", nargs=-1)
@_filters
@click.option("--yes", is_flag=True, help="Do it; without it only say what would be done.")
@json_option
def discard(item_ids: tuple[str, ...], yes: bool, as_json: bool, **filters: str | None) -> None:
    """Cancel dead letters for good: those of these IDs, or all that the filters choose."""
    from tierqueue.ledger.operations import dead_letters as letters

    def once(ledger: Ledger, ids: list[str], chosen_by: Wanted | None) -> int:
        with ledger.write() as connection:
            return len(letters.discard(connection, ids, operator(), chosen_by=chosen_by).ended)

    _each("discard", once, item_ids, filters, yes=yes, as_json=as_json)


def _each(
    what: str,
    once: Callable[[Ledger, list[str], Wanted | None], int],
    item_ids: tuple[str, ...],
    filters: Mapping[str, str | None],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Do it to every dead letter that is meant, a batch in a transaction; else only count them."""
    from tierqueue.ledger.operations import dead_letters as letters

    if bool(item_ids) == any(value is not None for value in filters.values()):
        raise click.UsageError(
            f"{what} either dead letters by their IDs or all that filters choose"
        )
    with opened() as ledger:
        wanted = _wanted(ledger, **filters)
        found = _named(ledger, item_ids) if item_ids else _matching(ledger, wanted)
        ids = []
        for item_id, reason in found:
            if what != "replay" or reason not in letters.NO_WAY_BACK:
                ids.append(item_id)
            elif item_ids:
                raise InvalidItem(f"{item_id} is {reason} and has no way back: {_SUBMIT_AGAIN}")
        stay = len(found) - len(ids)
        done = 0
        if yes:
            chosen_by = None if item_ids else wanted
            done = sum(
                once(ledger, ids[start : start + _BATCH], chosen_by)
                for start in range(0, len(ids), _BATCH)
            )
        if done and what == "replay":
            from tierqueue.tasks.app import app

            app.wakes.flush()
            app.item_events.flush()
    if as_json:
        emit({"action": what, "matching": len(ids), "done": done, "dry_run": not yes})
    elif yes:
        say(f"{what}: {done:,} of {count(len(ids), 'dead letter')}")
    else:
        say(f"would {what} {count(len(ids), 'dead letter')}; say --yes to do it")
    if stay and not as_json:
        say(f"{stay} more that are invalid or undecodable have no way back: {_SUBMIT_AGAIN}")


def _named(ledger: Ledger, item_ids: tuple[str, ...]) -> list[tuple[str, str]]:
    """The dead letters of these ids, each with its reason; raises ``InvalidItem`` for others."""
    from tierqueue.ledger.operations import dead_letters as letters

    found = []
    with ledger.read() as connection:
        for text in item_ids:
            item_id = item_named(connection, text)
            shown = letters.show(connection, item_id)
            if shown is None or shown[0]["state"] != State.DEAD:
                raise InvalidItem(f"{item_id} is not a dead letter")
            found.append((item_id, shown[0]["reason"]))
    return found


def _matching(ledger: Ledger, wanted: Wanted) -> list[tuple[str, str]]:
    """All dead letters that are meant, each with its reason."""
    return [(row["id"], row["reason"]) for page in _pages(ledger, wanted) for row in page]


def _pages(ledger: Ledger, wanted: Wanted) -> Iterator[Sequence[Any]]:
    from tierqueue.ledger.operations import dead_letters as letters

    last: tuple[int, str] | None = None
    while True:
        with ledger.read() as connection:
            page = letters.listed(connection, wanted, _BATCH, before=last)
        if not page:
            return
        yield page
        last = (page[-1]["ended_at"], page[-1]["id"])
