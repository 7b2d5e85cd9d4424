"""``tierqueue schedule``: work that comes again by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger, wake
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.input.options import (
    task_named,
)
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    moment,
    record,
    table,
)
from tierqueue.operations.cli.system.schedule_add import add, for_scripts
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.policy_errors import there_is_no

if TYPE_CHECKING:
    from tierqueue.ledger.operations.schedules import Run, Schedule
    from tierqueue.ledger.session import Transaction


@click.group(cls=CommandGroup)
def schedule() -> None:
    """Work that comes again by itself: each time it is due, one item, from one routing stage."""


schedule.add_command(add)


@schedule.command(name="list", epilog="Example: tierqueue schedule list")
@json_option
def list_(as_json: bool) -> None:
    """List the schedules: when each is next due, and what became of its last run."""
    from tierqueue.ledger.operations import schedules

    with open_ledger() as ledger, ledger.read() as connection:
        found = schedules.with_last_run(connection)
    if as_json:
        emit([{**for_scripts(made), "last": _run(run)} for made, run in found])
        return
    table(
        ["name", Column("task", rank=2), "when", "next", Column("last", rank=1)],
        [
            (
                made.name,
                made.task,
                _when(made),
                "paused" if made.paused_at is not None else moment(made.next_due),
                "-" if run is None else f"{moment(run.due)} {_became(run)}",
            )
            for made, run in found
        ],
        empty="there is no schedule",
    )


@schedule.command(epilog="Example: tierqueue schedule show night")
@click.argument("name")
@click.option(
    "--limit", default=10, show_default=True, type=click.IntRange(1, 1_000), help="Most runs."
)
@json_option
def show(name: str, limit: int, as_json: bool) -> None:
    """Show the schedule NAME and its last runs."""
    from tierqueue.ledger.operations import schedules

    with open_ledger() as ledger, ledger.read() as connection:
        made = _named(connection, name)
        ran = schedules.runs(connection, name, limit)
    if as_json:
        emit({**for_scripts(made), "runs": [_run(run) for run in ran]})
        return
    rests = "paused" if made.paused_at is not None else f"next at {moment(made.next_due)}"
    echo(
        f"schedule {name}: {made.task}, {_when(made)}; {rests}",
        f"added {moment(made.added_at)} by {made.added_by}; a missed time is"
        f" {'made up for once' if made.missed == 'once' else 'left out'}",
    )
    table(
        ["due", "item or job", "became", Column("by", rank=1)],
        [
            (moment(run.due), run.item_id or run.job_id or "-", _became(run), run.by or "")
            for run in ran
        ],
        empty="it has not run yet",
    )


@schedule.command(epilog="Example: tierqueue schedule pause night")
@click.argument("name")
@json_option
def pause(name: str, as_json: bool) -> None:
    """Let the schedule NAME rest; times that come meanwhile are not made up for."""
    from tierqueue.ledger.operations import schedules

    with open_ledger() as ledger, ledger.write() as connection:
        _named(connection, name)
        new = schedules.pause(connection, name, operator())
    if as_json:
        emit({"schedule": name, "paused": True, "new": new})
    else:
        echo(f"schedule {name} is paused" if new else f"schedule {name} was paused already")


@schedule.command(epilog="Example: tierqueue schedule resume night")
@click.argument("name")
@json_option
def resume(name: str, as_json: bool) -> None:
    """Let the schedule NAME go on when it is next due."""
    from tierqueue.ledger.operations import schedules
    from tierqueue.ledger.session import now as database_now
    from tierqueue.tasks.schedules.firing import timing_of

    with open_ledger() as ledger, ledger.write() as connection:
        next_due = timing_of(_named(connection, name)).next(database_now(connection))
        found = schedules.resume(connection, name, next_due, operator())
    if as_json:
        told = {"schedule": name, "paused": False, "new": found, "next_due": next_due}
        emit(record(told, times=("next_due",)))
        return
    said = f"goes on, next at {moment(next_due)}" if found else "was not paused"
    echo(f"schedule {name} {said}")


@schedule.command(epilog="Example: tierqueue schedule remove night")
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Take the schedule NAME away; the items of its runs stay."""
    from tierqueue.ledger.operations import schedules

    with open_ledger() as ledger, ledger.write() as connection:
        _named(connection, name)
        schedules.remove(connection, name, operator())
    if as_json:
        emit({"schedule": name, "removed": True})
    else:
        echo(f"schedule {name} is removed")


@schedule.command(epilog="Example: tierqueue schedule run night")
@click.argument("name")
@json_option
def run(name: str, as_json: bool) -> None:
    """Run the schedule NAME once now, also where it is paused; when it is next due stays."""
    from tierqueue.ledger.operations import schedules
    from tierqueue.ledger.session import now as database_now
    from tierqueue.tasks.schedules.firing import new_item

    with open_ledger() as ledger:
        with ledger.read() as connection:
            made = _named(connection, name)
        task_named(made.task)
        new = None if made.source else new_item(made)
        with ledger.write() as connection:
            at, job = database_now(connection), made.source is not None
            schedules.run(connection, name, at, new, by=operator(), job=job)
        wake()
    item = None if new is None else new.id
    if as_json:
        emit({"schedule": name, "item": item})
    else:
        what = "a routing stage submits its job" if item is None else f"item {item}"
        echo(f"schedule {name}: {what}")


def _named(connection: Transaction, name: str) -> Schedule:
    from tierqueue.ledger.operations import schedules

    if (found := schedules.get(connection, name)) is None:
        known = [made.name for made in schedules.listed(connection)]
        raise InvalidItem(there_is_no("schedule", name, known))
    return found


def _when(made: Schedule) -> str:
    if made.cron is not None:
        return f"{made.cron} {made.timezone}"
    assert made.every is not None
    return f"every {made.every / SECOND_US:,.0f} s"


def _became(run: Run) -> str:
    if run.lease_until is not None:
        return "to be submitted" if run.job_id is None else "being submitted"
    if run.item_id is None:
        return run.error or ("missed" if run.job_id is None else "submitted")
    return f"{run.state} ({run.reason})" if run.state == "dead" else str(run.state)


def _run(run: Run | None) -> dict[str, Any] | None:
    return None if run is None else record(run._asdict(), times=("due", "at"))
