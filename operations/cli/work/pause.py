"""``tierqueue pause`` and ``tierqueue resume``: hold work back, and let it go on."""

from __future__ import annotations

from dataclasses import asdict

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import job_named, one_of, unused_budget
from tierqueue.operations.cli.input.operator import by_option, operator, reason_option
from tierqueue.operations.cli.input.options import task_named
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    moment,
    record,
    table,
)
from tierqueue.router.policy.policy_errors import nearest


@click.group(cls=CommandGroup)
def pause() -> None:
    """Hold back a tier, a task type, a budget or a job.

    What runs ends by itself, what waits stays in the ledger until it is resumed; in force within
    2 seconds, also after every process was restarted. Deadlines go on.
    """


def _pausing(kind: str) -> click.Command:
    @click.command(
        name=kind,
        help=f"Hold back the {kind} called NAME.",
        epilog=f"Example: tierqueue pause {kind} {_EXAMPLES[kind]}",
    )
    @click.argument("name")
    @reason_option
    @by_option
    @json_option
    def one(name: str, reason: str | None, by: str | None, as_json: bool) -> None:
        from tierqueue.ledger.in_force import pauses

        if kind == "task":
            task_named(name)
        with open_ledger() as ledger, ledger.write() as connection:
            meant = job_named(connection, name) if kind == "job" else name
            new = pauses.pause(connection, kind, meant, by or operator(), reason)
            hint = unused_budget(connection, meant) if kind == "budget" and new else None
        if as_json:
            emit({"kind": kind, "name": meant, "paused": True, "new": new})
        else:
            echo(f"{kind} {meant} is paused" if new else f"{kind} {meant} was paused already")
        if hint is not None:
            echo(hint, err=True)

    return one


_EXAMPLES = {
    "tier": "frontier",
    "task": "tierqueue.classify",
    "budget": "acme",
    "job": "01a1fb7f-603c-71c9-9671-39b7af6c9a05",
}
for _kind in _EXAMPLES:
    pause.add_command(_pausing(_kind))


@pause.command(name="list", epilog="Example: tierqueue pause list")
@json_option
def list_(as_json: bool) -> None:
    """Show what is held back, since when, by whom and why."""
    from tierqueue.ledger.in_force import pauses

    with open_ledger() as ledger, ledger.read() as connection:
        why = pauses.reasons(connection)
        found = [(one, why.get((one.kind, one.name))) for one in pauses.in_force(connection)]
    if as_json:
        emit([{**record(asdict(one), times=("at",)), "reason": why} for one, why in found])
    else:
        columns: list[Column | str] = [
            "kind",
            "name",
            "since",
            Column("by", rank=1),
            Column("why", rank=2, long=True),
        ]
        rows = [(one.kind, one.name, moment(one.at), one.by, why) for one, why in found]
        table(columns, rows, empty="nothing is held back")


@click.command(epilog="Example: tierqueue resume budget acme")
@click.argument("kind", type=one_of(_EXAMPLES))
@click.argument("name")
@reason_option
@by_option
@json_option
def resume(kind: str, name: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """Let the KIND called NAME go on."""
    from tierqueue.ledger.in_force import pauses

    with open_ledger() as ledger, ledger.write() as connection:
        paused = [stands.name for stands in pauses.in_force(connection) if stands.kind == kind]
        begun = [known for known in paused if known.startswith(name)] if kind == "job" else []
        meant = begun[0] if len(begun) == 1 else name
        found = pauses.resume(connection, kind, meant, by or operator(), reason)
    near = "" if found else nearest(name, paused)
    if as_json:
        emit({"kind": kind, "name": meant, "paused": False, "new": found})
    else:
        echo(f"{kind} {meant} goes on" if found else f"{kind} {name} was not paused{near}")
    if not found:
        raise click.exceptions.Exit(1)
