"""``tierqueue status`` and ``top``: where work stands, on one screen of 80 columns."""

from __future__ import annotations

import sys

import click

from tierqueue.operations.cli.input.ledger_access import ledger_complaint, open_ledger
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.output.escapes import visible
from tierqueue.operations.cli.output.printing import echo, emit, json_option, on_terminal


@click.command(epilog="Example: tierqueue status")
@json_option
def status(as_json: bool) -> None:
    """Show where work stands: per tier what is ready, runs and waits, and how fast it ends.

    END/MIN is how many items ended in the last minute, EMPTY IN how long what is ready takes at
    that pace, WORK how many workers are alive, CALLS how many calls may be in flight at once.

    A look costs the same whatever waits: of very many items it says that there are more. Exit 1
    where the ledger takes no writes.
    """
    from tierqueue.operations.cli.output.status_screen import as_json_value, screen
    from tierqueue.operations.status import status as status_of

    policy = policy_in_force()
    with open_ledger() as ledger:
        stands = status_of(ledger, policy)
    if as_json:
        emit(as_json_value(stands))
    else:
        echo(*screen(stands))
    if stands.refusal is not None:
        raise click.exceptions.Exit(1)


@click.command(epilog="Example: tierqueue top --interval 2")
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.25, 3600),
    help="Seconds between two looks.",
)
def top(interval: float) -> None:
    """Show the screen of `tierqueue status` and refresh it until you press q.

    Without a terminal it is shown once.
    """
    from tierqueue.operations.cli.output.status_screen import screen
    from tierqueue.operations.status import status as status_of

    if not (on_terminal() and sys.stdin.isatty()):
        echo("no terminal to refresh: shown once, as by tierqueue status", err=True)
        stands_once()
        return
    policy = policy_in_force()

    from tierqueue.operations.cli.output.refreshing import refresh

    with open_ledger() as ledger:

        def lines() -> list[str]:
            try:
                return screen(status_of(ledger, policy), keys="q quits")
            except Exception as error:
                complaint = ledger_complaint(error)
                if complaint is None:
                    raise
                return [f"{visible(complaint)}; asked again in {interval:g} s", "", "q quits"]

        refresh(lines, interval)


def stands_once() -> None:
    """The screen, once."""
    from tierqueue.operations.cli.output.status_screen import screen
    from tierqueue.operations.status import status as status_of

    policy = policy_in_force()
    with open_ledger() as ledger:
        echo(*screen(status_of(ledger, policy)))
