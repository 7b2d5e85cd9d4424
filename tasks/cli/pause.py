"""``tierqueue pause`` and ``tierqueue resume``: hold work back, and let it go on."""

import click

from tierqueue.ledger import pauses
from tierqueue.tasks.cli.concurrency import operator
from tierqueue.tasks.cli.opened import opened
from tierqueue.tasks.cli.printing import Column, emit, json_option, moment, say, table
from tierqueue.tasks.cli.stated import task_named


@click.group()
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
    def one(name: str) -> None:
        if kind == "task":
            task_named(name)
        with opened() as ledger, ledger.write() as connection:
            new = pauses.pause(connection, kind, name, operator())
        say(f"{kind} {name} is paused" if new else f"{kind} {name} was paused already")

    return one


_EXAMPLES = {
    "tier": "frontier",
    "task": "tierqueue.classify",
    "budget": "acme",
    "job": "01993b5e-6c1f-7a52-8f0e-2f4c6f0b7d11",
}
for _kind in pauses.KINDS:
    pause.add_command(_pausing(_kind))


@pause.command(name="list", epilog="Example: tierqueue pause list")
@json_option
def list_(as_json: bool) -> None:
    """Show what is held back, since when and by whom."""
    with opened() as ledger, ledger.read() as connection:
        found = pauses.standing(connection)
    if as_json:
        emit([{"kind": p.kind, "name": p.name, "at": p.at, "by": p.by} for p in found])
    else:
        rows = [(each.kind, each.name, moment(each.at), each.by) for each in found]
        table(["kind", "name", "since", Column("by", rank=1)], rows, empty="nothing is held back")


@click.command(epilog="Example: tierqueue resume budget acme")
@click.argument("kind", type=click.Choice(pauses.KINDS))
@click.argument("name")
def resume(kind: str, name: str) -> None:
    """Let the KIND called NAME go on."""
    with opened() as ledger, ledger.write() as connection:
        found = pauses.resume(connection, kind, name, operator())
    say(f"{kind} {name} goes on" if found else f"{kind} {name} was not paused")
    if not found:
        raise click.exceptions.Exit(1)
