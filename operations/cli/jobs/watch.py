"""``tierqueue job show`` and ``watch``, and ``--watch`` of what submits: how a job gets on."""

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import job_named
from tierqueue.operations.cli.output.printing import echo, emit, json_option, paragraph
from tierqueue.tasks.plural import count


@click.command(epilog="Example: tierqueue job watch 01a1fb7f-603c-71c9-9671-39b7af6c9a05")
@click.argument("job_id", metavar="ID")
@json_option
def watch(job_id: str, as_json: bool) -> None:
    """Wait until every row of job ID has ended, and stands in its table where rows go back there:
    exit 0 where all succeeded and are written, 1 where not.

    A job whose submission ended early is incomplete, which is said and exits 1 once the rows that
    there are have ended. Money is what providers have said; holds stand beside it.
    """
    wait(job_id, as_json=as_json)


@click.command(epilog="Example: tierqueue job show 01a1fb7f-603c")
@click.argument("job_id", metavar="ID")
@json_option
def show(job_id: str, as_json: bool) -> None:
    """Say how job ID gets on now: rows, money, what is ahead, and whether its rows go back."""
    from tierqueue.operations.cli.output.job_progress import (
        ahead,
        as_dict,
        as_told,
        line,
        sink_dict,
        sink_line,
    )
    from tierqueue.tasks.jobs.outlook import outlook_of

    with open_ledger() as ledger:
        with ledger.read() as connection:
            job_id = job_named(connection, job_id)
        now, then = outlook_of(ledger, job_id)
        if as_json:
            emit({**as_dict(job_id, now), **as_told(then), **sink_dict(ledger, job_id)})
        else:
            for told in (line(job_id, now) + ahead(now, then), *sink_line(ledger, job_id, now)):
                paragraph("", told)


def wait(job_id: str, *, as_json: bool) -> None:
    """Wait for a job as the command does; raises ``Exit`` of click where not all succeeded."""
    from rich.console import Console

    from tierqueue.operations.cli.output.job_progress import follow, follow_sink, sink_line

    with open_ledger() as ledger:
        with ledger.read() as connection:
            job_id = job_named(connection, job_id)
        console = Console(soft_wrap=True)
        last = follow(ledger, job_id, console=console, as_json=as_json)
        back = follow_sink(ledger, job_id, last, console=console, as_json=as_json)
        for told in sink_line(ledger, job_id, last):
            echo(told, err=True)
    if last.stopped:
        echo(
            f"job {job_id} is incomplete: {last.submitted} of {last.total} rows were submitted, and"
            " nobody adds the others. The same `tierqueue job submit` again goes on where it"
            f" stopped; to give it up: tierqueue job cancel {job_id}",
            err=True,
        )
    if beyond := last.dead.get("cost_ceiling"):
        echo(
            f"{count(beyond, 'row')} died of a ceiling; what is answered stands. Where it is the"
            " job's own, they go on with:"
            f" tierqueue ceilings raise job:{job_id} total LIMIT --replay",
            err=True,
        )
    if not back:
        echo(
            f"rows of job {job_id} do not get back, which is tried again for two days:"
            f" tierqueue job show {job_id} says how that stands",
            err=True,
        )
    if not back or last.states.get("succeeded", 0) != last.total:
        raise click.exceptions.Exit(1)
