"""``tierqueue health`` and ``tierqueue doctor``: does work get on, and if not, why."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tierqueue.operations.cli.input.ledger_access import command_app, open_ledger
from tierqueue.operations.cli.input.names import one_of
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.output.printing import echo, emit, json_option, paragraph
from tierqueue.tasks.broker.names import CALLS
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.tasks.findings.finding import Finding


@click.command(epilog="Example: tierqueue health --worker gpu")
@click.option(
    "--worker",
    type=one_of(list(CALLS)),
    help="Only whether this machine's process of that name does its work.",
)
@json_option
def health(worker: str | None, as_json: bool) -> None:
    """Say whether work gets on: exit 0 where it does, 1 where something is wrong."""
    from tierqueue.operations import health as checks

    app = command_app()
    if worker is not None:
        found, progress = checks.worker(app, worker), None
    else:
        checked = checks.check(app)
        found, progress = checked.findings, checked.progress
    wrong = [finding for finding in found if finding.wrong]
    if as_json:
        shown = None if progress is None else asdict(progress)
        for process in shown["processes"] if shown else ():
            process["room"] = process["kind"]  # the former key
        said = [asdict(finding) for finding in found]
        emit({"well": not wrong, "findings": said, "progress": shown})
    else:
        for what in [finding.what for finding in wrong] or ["work gets on"]:
            paragraph("", what)
    if wrong:
        raise click.exceptions.Exit(1)


@click.command(epilog="Example: tierqueue doctor || tierqueue status")
@click.option(
    "--acknowledge",
    is_flag=True,
    help="You have seen what died so far: it is told no more. What was refused for a key or an"
    " account is mended: a note, until it is refused again.",
)
@json_option
def doctor(acknowledge: bool, as_json: bool) -> None:
    """Say in plain words what is wrong and what to do; exit 1 where a person is needed.

    Of each thing: what is so, what happens by itself (~), and what to do about it (>).
    """
    from tierqueue.ledger.monitoring import endings
    from tierqueue.operations.diagnosis import diagnosis

    app = command_app()
    found = diagnosis(app)
    wrong = any(finding.wrong for finding in found)
    if as_json:
        emit([asdict(finding) for finding in found])
    elif not found:
        echo("nothing is wrong, and nothing is held back")
    else:
        for finding in found:
            _print(finding)
    if acknowledge:
        died = [finding.detail for finding in found if finding.code == "died"]
        seen = sum(detail["items"] for detail in died)
        with open_ledger() as ledger, ledger.write() as connection:
            endings.acknowledge(connection, operator(), {"dead_letters": seen})
        what = count(seen, "dead letter", "is", "are")
        told = f"acknowledged: {what} told no more, and {'stays' if seen == 1 else 'stay'} there"
        echo(told, err=as_json)
    elif wrong:
        raise click.exceptions.Exit(1)


def _print(finding: Finding) -> None:
    mark = "WRONG" if finding.wrong else "note "
    for sign, text in ((mark, finding.what), ("    ~", finding.meanwhile), ("    >", finding.do)):
        if text:
            paragraph(f"{sign}  ", text)
