"""``tierqueue schedule add``: what comes again is checked, and written down."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import one_of, unused_budget
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.input.options import (
    demand_options,
    given,
    read_arguments,
    reading_options,
    stated_sink,
    task_named,
)
from tierqueue.operations.cli.output.printing import echo, emit, json_option, moment, record
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import shown
from tierqueue.router.policy.duration import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tierqueue.ledger.lifecycle.items import NewItem
    from tierqueue.ledger.operations.schedules import Schedule
    from tierqueue.tasks.files.source import Reading
    from tierqueue.tasks.jobs.export.into_table import IntoTable
    from tierqueue.tasks.submission.item_task import ItemTask

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}")
_TIMES = ("next_due", "added_at", "paused_at")


@click.command(
    epilog="Example: tierqueue schedule add early --cron '0 2 * * mon-fri' --timezone Europe/Berlin"
    " --task tierqueue.complete --set prompt='Say that you are there.'"
)
@click.argument("name")
@click.option("--task", "task_name", required=True, help="Such as tierqueue.classify.")
@click.option("--cron", metavar="LINE", help="Minute, hour, day of month, month, day of week.")
@click.option("--every", metavar="DURATION", help="Such as 15m or 24h, counted from now.")
@click.option("--timezone", default="UTC", show_default=True, help="Of the cron line.")
@click.option(
    "--missed",
    type=one_of(["once", "skip"]),
    default="once",
    show_default=True,
    help="A time that nobody was there for within a minute: made up for once, or left out.",
)
@click.option("--set", "texts", multiple=True, metavar="NAME=VALUE", help="Or NAME=@file.")
@click.option("--max-cost", help="Of each item, or of each job, such as 0.01usd.")
@click.option("--file", help="A job over this file each time, or env:NAME with --query.")
@click.option("--column", help="Of the file, this alone, as the task's first argument.")
@click.option("--into", metavar="env:NAME", help="Each job's rows go back: a database's variable.")
@click.option("--table", "into_table_", metavar="TABLE", help="There: filled in by --key.")
@click.option("--key", metavar="COLUMN", help="Of the file; unique there and in the table.")
@click.option("--prefix", default="", metavar="TEXT", help="Before the name of each added column.")
@reading_options
@demand_options
@json_option
def add(
    name: str,
    task_name: str,
    cron: str | None,
    every: str | None,
    timezone: str,
    missed: str,
    texts: tuple[str, ...],
    max_cost: str | None,
    file: str | None,
    column: str | None,
    into: str | None,
    into_table_: str | None,
    key: str | None,
    prefix: str,
    reading: Reading,
    as_json: bool,
    demands: Mapping[str, Any],
) -> None:
    """Add the schedule NAME: an item of a task type each time it is due, or a job with --file.

    What each item is asked is checked now, and whether there is a route for it. A time of day that
    a clock put forward leaves out comes as much later, one that it shows twice comes once (twice
    where the line names no hour).
    """
    from tierqueue.ledger.lifecycle.items import new_id
    from tierqueue.ledger.operations import schedules
    from tierqueue.ledger.session import now as database_now
    from tierqueue.operations.cli.input.policies import policy_in_force
    from tierqueue.router.route import Route
    from tierqueue.tasks.routing.forecast.decision import decision_of
    from tierqueue.tasks.schedules.timing import timing

    if not _NAME.fullmatch(name):
        raise InvalidItem(
            f"{shown(name)!r} is no name: letters, digits, dots and dashes, at most 64"
        )
    timing(cron, every, timezone, 0)
    task = task_named(task_name)
    call = {**read_arguments(task, texts), **demands}
    source = None
    sink = stated_sink(into, into_table_, key, prefix)
    if file is None and sink is not None:
        raise InvalidItem("--into is of a job's rows: say --file too")
    if file is None:
        call |= given(max_cost=max_cost)
        new: NewItem | None = task.new_item((), call, item_id=new_id())
    else:
        source, new = _job(task, file, call, column, reading, max_cost, sink)
    _repeatable(call)
    if new is not None:
        decision = decision_of(new, policy_in_force())
        if not isinstance(decision, Route):
            raise decision
    with open_ledger() as ledger, ledger.write() as connection:
        at = database_now(connection)
        when = timing(cron, every, timezone, at)
        made = schedules.Schedule(
            name=name,
            task=task.name,
            call=call,
            cron=when.cron,
            every=when.every,
            timezone=timezone,
            missed=missed,
            next_due=when.next(at),
            added_at=at,
            added_by=operator(),
            source=source,
        )
        if not schedules.add(connection, made):
            raise InvalidItem(
                f"there is a schedule {name}: tierqueue schedule remove {name}, or another name"
            )
        budget = call.get("budget")
        hint = None if budget is None else unused_budget(connection, budget)
    if as_json:
        emit(for_scripts(made))
    else:
        echo(f"schedule {name}: next at {moment(made.next_due)}")
    if hint is not None:
        echo(hint, err=True)


def for_scripts(made: Schedule) -> dict[str, Any]:
    """A schedule for scripts."""
    told = record(made._asdict(), times=_TIMES)
    every = told.pop("every")
    return {**told, "every_seconds": None if every is None else every / SECOND_US}


def _job(
    task: ItemTask,
    file: str,
    call: dict[str, Any],
    column: str | None,
    reading: Reading,
    max_cost: str | None,
    into: IntoTable | None,
) -> tuple[dict[str, Any], NewItem | None]:
    """What a run submits as a job, and what its first row becomes now, where there is one.

    Raises ``InvalidItem`` for what is wrong with the file, or with what all its rows are asked.
    """
    from tierqueue.router.money import parse_usd
    from tierqueue.tasks.jobs.submission import Submission

    if file == "-":
        raise InvalidItem("--file -: nothing stands on standard input when it is due")
    path = file if file.startswith("env:") else str(Path(file).resolve())
    submission = Submission(task, Path(path), call, column=column, reading=reading)
    if into is not None:
        into.check(submission.file)
    most = None if max_cost is None else parse_usd(max_cost)
    source = {"path": path, "column": column, "max_cost": most, **asdict(reading)}
    if into is not None:
        source["into"] = asdict(into)
    return source, next((new for new, death in submission.made() if death is None), None)


def _repeatable(call: dict[str, Any]) -> None:
    """Raises ``InvalidItem`` for what could be said of one item alone."""
    from tierqueue.router.policy.duration import parse_duration

    for name, value in call.items():
        if isinstance(value, Path):
            raise InvalidItem(f"{name}: a schedule keeps no image; one of a file reads its rows'")
    if (deadline := call.get("deadline")) is not None:
        try:
            parse_duration(deadline)
        except ValueError:
            raise InvalidItem(
                f"deadline {deadline}: each item needs its own, such as 5m or 24h after it came"
            ) from None
