"""``tierqueue health`` and ``tierqueue doctor``: does work get on, and if not, why."""

from dataclasses import asdict

import click

from tierqueue.tasks import health as looking
from tierqueue.tasks.cli.printing import emit, json_option, say
from tierqueue.tasks.findings import Finding


@click.command(epilog="Example: tierqueue health --worker gpu")
@click.option(
    "--worker",
    type=click.Choice(looking.WORKERS),
    help="Only whether this machine's process of that name does its work.",
)
@json_option
def health(worker: str | None, as_json: bool) -> None:
    """Say whether work gets on: exit 0 where it does, 1 where something is wrong."""
    from tierqueue.tasks.app import app

    if worker is not None:
        found, progress = looking.worker(app, worker), None
    else:
        looked = looking.look(app)
        found, progress = looked.findings, looked.progress
    wrong = [each for each in found if each.wrong]
    if as_json:
        shown = None if progress is None else asdict(progress)
        said = [asdict(each) for each in found]
        emit({"well": not wrong, "findings": said, "progress": shown})
    else:
        say(*([finding.what for finding in wrong] or ["work gets on"]))
    if wrong:
        raise click.exceptions.Exit(1)


@click.command(epilog="Example: tierqueue doctor")
@json_option
def doctor(as_json: bool) -> None:
    """Say in plain words what is wrong and what to do; exit 1 where something is wrong."""
    from tierqueue.tasks.app import app

    found = looking.diagnosis(app)
    wrong = any(each.wrong for each in found)
    if as_json:
        emit([asdict(each) for each in found])
    elif not found:
        say("nothing is wrong, and nothing is held back")
    else:
        for each in found:
            _tell(each)
    if wrong:
        raise click.exceptions.Exit(1)


def _tell(each: Finding) -> None:
    say(f"{'WRONG' if each.wrong else 'note '}  {each.what}")
    say(f"       {each.do}")
