"""``tierqueue item``: work items as they came in, and everything that was done for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import (
    between,
    ids_for_people,
    item_named,
    job_named,
    one_of,
)
from tierqueue.operations.cli.input.policies import simulated_by_policy
from tierqueue.operations.cli.output import document_parts
from tierqueue.operations.cli.output import timeline as history
from tierqueue.operations.cli.output.decision import FORMER_RULES
from tierqueue.operations.cli.output.printing import (
    Column,
    clock,
    echo,
    emit,
    identified,
    json_option,
    moment,
    on_terminal,
    paragraph,
    record,
    table,
    width,
)
from tierqueue.operations.cli.output.simulated import MARK, marked
from tierqueue.router.item import TIERS, BelowTier
from tierqueue.router.lifecycle import State
from tierqueue.router.money import format_usd
from tierqueue.tasks.durations import age

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tierqueue.ledger.audit_log import Action

_ROOMY = 60
"""Characters of a line from which on an event's facts stand beside its time, else below it."""

_HIDDEN = ("arguments", "output", "metadata")
"""What customers wrote and what they are told: shown only to who asks for it."""

MONEY = ("spent", "held", "bound", "max_cost", "cost")
TIMES = (
    *("submitted_at", "ended_at", "ready_at", "lease_until", "deadline", "announced_at"),
    *("key_expires_at", "erased_at", "hooked_at", "started_at", "made_at", "kept_at", "at"),
)


@click.group(cls=CommandGroup)
def item() -> None:
    """Look at work items."""


@item.command(
    name="list", epilog="Example: tierqueue item list --state waiting --tier frontier --since 1h"
)
@click.option("--state", type=one_of([state.value for state in State]), help="In this state.")
@click.option("--reason", help="Why it waits or ended, such as throttled or no_route.")
@click.option("--task", help="Such as tierqueue.classify.")
@click.option(
    "--tier",
    type=one_of([name.value for name in (*TIERS, *BelowTier)]),
    help="Of this tier, or answered by this without a call.",
)
@click.option("--deployment", help="To which it is or was last routed.")
@click.option("--budget", help="Paid by this budget.")
@click.option("--job", help="Of this job alone.")
@click.option("--since", help="Submitted in the last 1h, 24h, 7d, …")
@click.option("--older-than", help="Submitted longer ago than 1h, 24h, 7d, …")
@click.option("--after", metavar="ID", help="The next page: what comes after this item.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Most lines."
)
@json_option
def list_(
    job: str | None,
    since: str | None,
    older_than: str | None,
    after: str | None,
    limit: int,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List work items, the newest first."""
    from tierqueue.ledger.operations import item_list
    from tierqueue.ledger.operations.item_list import ItemFilter
    from tierqueue.ledger.results.simulated import of_items
    from tierqueue.ledger.session import now as database_now
    from tierqueue.operations.cli.input.filters import refuse_unknown

    begin, end = between(since, older_than)
    with open_ledger() as ledger, ledger.read() as connection:
        meant = ItemFilter(
            **filters,
            job=None if job is None else job_named(connection, job),
            since=begin,
            until=end,
        )
        last = None if after is None else item_named(connection, after)
        refuse_unknown(connection, filters)
        rows = item_list.newest(connection, meant, limit, last)
        made_up = of_items(connection, [row.id for row in rows], simulated_by_policy(connection))
        shown = ids_for_people(connection, [row.id for row in rows])
        now = database_now(connection)
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
            "state",
            Column("reason", rank=2, long=True),
            Column("task", rank=3),
            Column("tier", rank=4),
            Column("cost", right=True),
            Column("calls", right=True, rank=6),
            Column("budget", rank=5),
            Column("job", rank=7),
            Column("submitted", rank=8),
        ],
        [
            (
                shown[row.id],
                age(row.submitted_at, now),
                row.state,
                row.reason,
                row.task,
                row.tier,
                marked(format_usd(row.spent), row.id in made_up),
                row.calls,
                row.budget,
                row.job_id,
                moment(row.submitted_at),
            )
            for row in rows
        ],
        empty="no item is meant",
    )
    if len(rows) == limit:
        echo(f"there may be more: --after {rows[-1].id}", err=not on_terminal())


@item.command(epilog="Example: tierqueue item show 01a1fb7f-603c")
@click.argument("item_id", metavar="ID")
@click.option("--payload", is_flag=True, help="Its arguments, output and metadata too.")
@json_option
def show(item_id: str, payload: bool, as_json: bool) -> None:
    """Tell what was done for item ID, when and why, and what it cost.

    ID is its own id or that of a Celery task it was promised under; a beginning that no other has
    will do. What it was asked and what it answered is shown with --payload alone.
    """
    show_item(item_id, payload=payload, as_json=as_json)


def show_item(text: str, *, payload: bool, as_json: bool) -> None:
    """Print one item; raises ``InvalidItem`` where there is none of that id."""
    from tierqueue.ledger.lifecycle import documents
    from tierqueue.ledger.operations import dead_letters, item_list
    from tierqueue.ledger.results.simulated import of_items
    from tierqueue.ledger.session import now as database_now

    with open_ledger() as ledger, ledger.read() as connection:
        item_id = item_named(connection, text)
        found = dead_letters.show(connection, item_id)
        assert found is not None
        row, attempts = found
        owed = item_list.owed(connection, item_id)
        done = item_list.done_to(connection, item_id, row.submitted_at)
        parts = documents.parts_of(connection, item_id) if row.is_document else []
        names = simulated_by_policy(connection)
        made_up = of_items(connection, [item_id, *(part.id for part in parts)], names)
        now = database_now(connection)
    if as_json:
        shown = {k: v for k, v in row._asdict().items() if payload or k not in _HIDDEN}
        _rename_rules(shown)
        emit(
            {
                "item": {
                    **record(identified(shown), money=MONEY, times=TIMES),
                    "simulated": item_id in made_up,
                },
                "attempts": [
                    record(identified(attempt._asdict()), money=MONEY, times=TIMES)
                    for attempt in attempts
                ],
                "parts": [
                    {**record(part, money=MONEY), "simulated": part["id"] in made_up}
                    for part in document_parts.shown(row, parts)
                ],
                "promises": [record(promise._asdict(), times=TIMES) for promise in owed],
                "actions": [
                    {
                        "at_epoch_us": act.at,
                        "by": act.by,
                        "what": act.what,
                        "former": _former(item_id, act),
                    }
                    for act in done
                ],
            }
        )
        return
    for line in history.headline(row, attempts, parts, now, made_up):
        paragraph("", line)
    _print(history.timeline(row, attempts, owed, done, now, names))
    if parts:
        document_parts.print_parts(row, parts, made_up)
    for name in _HIDDEN if payload else ():
        mark = MARK if name == "output" and item_id in made_up else ""
        echo(f"{name}{mark}: {getattr(row, name)}")


def _rename_rules(row: dict[str, Any]) -> None:
    """Show a rule of the route under its present code, whatever release wrote the row."""
    for refusal in (row["route"] or {}).get("refusals", ()):
        refusal["rule"] = FORMER_RULES.get(refusal["rule"], refusal["rule"])


def _former(item_id: str, act: Action) -> dict[str, Any] | None:
    """How the item had ended before this was done to it."""
    found = history.former_death(item_id, act)
    return None if found is None else record(found, times=TIMES)


def _print(events: Sequence[history.Event]) -> None:
    """A day a heading, an event a line; a pipe gets an event's facts on one line."""
    day = None
    for event in events:
        date, time = ("", "") if event.at is None else clock(event.at)
        if date and date != day:
            day = date
            echo(date)
        if not on_terminal():
            echo(f"{time or 'now':12}  {event.word:9}  {'; '.join(event.lines)}".rstrip())
            continue
        lead = f"{time or 'now':12}  {event.word:9}  "
        if width() < _ROOMY:
            echo(lead.rstrip())
            lead = "  "
        for line in event.lines or ("",):
            paragraph(lead, line)
            lead = " " * len(lead)
