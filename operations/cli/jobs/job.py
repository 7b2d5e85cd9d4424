"""``tierqueue job``: files of work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger, wake
from tierqueue.operations.cli.input.names import job_named
from tierqueue.operations.cli.input.options import (
    demand_options,
    pieces_options,
    read_arguments,
    reading_options,
    stated_sink,
    task_named,
)
from tierqueue.operations.cli.jobs.errors import errors
from tierqueue.operations.cli.jobs.results import results, webhook
from tierqueue.operations.cli.jobs.sample import continue_, print_report
from tierqueue.operations.cli.jobs.watch import show, wait, watch
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    moment,
    on_terminal,
    record,
    table,
)
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.durations import age
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tierqueue.ledger.job_records import JobRecord
    from tierqueue.ledger.operations.jobs import JobProgress
    from tierqueue.tasks.files.source import Reading
    from tierqueue.tasks.submission.pieces import Pieces


_BEGINNING = 18
"""Characters of a job's id on a terminal: its millisecond and more, which names it anywhere."""


@click.group(cls=CommandGroup)
def job() -> None:
    """Hand over a file of work, watch it, read its results, cancel it."""


@job.command(
    epilog="Example: tierqueue job submit tickets.csv --task tierqueue.classify --column text"
    " --set labels=@labels.txt --max-cost 2usd --watch"
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", "name", required=True, help="Such as tierqueue.classify.")
@click.option("--column", help="Read this column alone, as the task's first argument.")
@click.option("--set", "texts", multiple=True, metavar="NAME=VALUE", help="Or NAME=@file.")
@click.option("--max-cost", help="Of the whole job, such as 2usd.")
@reading_options
@demand_options
@click.option("--retry-failed", is_flag=True, help="Rows that failed before are asked again.")
@click.option("--anew", is_flag=True, help="Ask every row, also where it was answered before.")
@click.option("--sample", type=click.IntRange(1, 1_000), help="So many rows first; see continue.")
@click.option(
    "--sample-by", metavar="COLUMN", help="Rows of every value of it, as of every length."
)
@click.option("--into", metavar="env:NAME", help="Rows go back as they end: a database's variable.")
@click.option("--table", "into_table_", metavar="TABLE", help="There: filled in by --key.")
@click.option("--key", metavar="COLUMN", help="Of FILE; unique there and in the table.")
@click.option("--prefix", default="", metavar="TEXT", help="Before the name of each added column.")
@pieces_options
@click.option(
    "--watch", "watching", is_flag=True, help="Wait until every row has ended, and is written."
)
@json_option
def submit(
    file: Path,
    name: str,
    column: str | None,
    texts: tuple[str, ...],
    max_cost: str | None,
    retry_failed: bool,
    anew: bool,
    sample: int | None,
    sample_by: str | None,
    into: str | None,
    into_table_: str | None,
    key: str | None,
    prefix: str,
    watching: bool,
    as_json: bool,
    reading: Reading,
    pieces: Pieces | None,
    demands: Mapping[str, Any],
) -> None:
    """Submit FILE (.csv, .jsonl, .parquet, a spreadsheet, documents): one work item a row.

    FILE may be - for standard input, and env:NAME with --query for a database.

    Without --column every column is an argument of the task or a demand (risk, max_cost, …) of the
    row. Identical rows are one call. The same command again goes on where it was killed, and asks
    only what is new or changed. With --split a row that is longer than a piece is asked in pieces,
    and has one answer. A malformed row becomes a dead letter `invalid` that names its line; with a
    file that cannot be read nothing is submitted. --into has a routing stage fill in the rows of a
    table as they end, each once; its process must have that variable.
    """
    from tierqueue.operations.cli.input.operator import operator
    from tierqueue.router.money import parse_usd
    from tierqueue.tasks.jobs.submission import Submission

    task = task_named(name)
    fixed = {**read_arguments(task, texts), **demands}
    submission = Submission(
        task,
        file,
        fixed,
        column=column,
        reading=reading,
        pieces=pieces,
    )
    for note in submission.file.notes:
        echo(f"{file.name}: {note}", err=True)
    limit = None if max_cost is None else parse_usd(max_cost)
    if sample is None and sample_by is not None:
        raise InvalidItem("--sample-by is of --sample: say how many rows, or leave it out")
    sink = stated_sink(into, into_table_, key, prefix)

    def show_progress(committed: int, total: int) -> None:
        if not as_json and sys.stderr.isatty():
            click.echo(f"\r{committed} of {total} rows submitted", nl=committed == total, err=True)

    layers = () if sample is None else submission.draw(sample, sample_by)
    with open_ledger() as ledger:
        submitted = submission.submit(
            ledger,
            wake,
            max_cost=limit,
            progress=show_progress,
            retry_failed=retry_failed,
            anew=anew,
            sample=layers,
            into=sink,
            by=operator(),
        )
        if layers:
            print_report(ledger, submitted.id, submission, layers, as_json=as_json)
            return
        if as_json:
            emit(
                {
                    "job": submitted.id,
                    "total": submitted.total,
                    "new": submitted.new,
                    "reused": submitted.reused,
                    "resumed": submitted.resumed,
                    "malformed": submitted.malformed,
                }
            )
        else:
            said = [count(submitted.total, "row")]
            if submitted.resumed:
                said.append(f"goes on with {submitted.new:,} new")
            if submitted.reused:
                said.append(f"{submitted.reused:,} reused")
            if submitted.malformed:
                said.append(f"{submitted.malformed:,} malformed")
            echo(f"job {submitted.id}: {', '.join(said)}")
        if watching:
            wait(submitted.id, as_json=as_json)


@job.command(name="list", epilog="Example: tierqueue job list --limit 5")
@click.option("--after", metavar="ID", help="The next page: what comes after this job.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 1_000), help="Most lines."
)
@json_option
def list_(after: str | None, limit: int, as_json: bool) -> None:
    """List jobs, the newest first, with where their rows are and what they cost so far."""
    from tierqueue.ledger.operations import jobs
    from tierqueue.ledger.session import now as database_now
    from tierqueue.operations.cli.output.job_progress import as_dict
    from tierqueue.router.money import format_usd

    with open_ledger() as ledger, ledger.read() as connection:
        last = None if after is None else jobs.get(connection, job_named(connection, after))
        rows = jobs.newest(connection, limit, last)
        found = [(row, jobs.progress(connection, row.id)) for row in rows]
        now = database_now(connection)
    if as_json:
        told = ("task", "source", "submitted_at", "cancelled_at", "max_cost")
        emit(
            [
                {
                    **as_dict(row.id, progress),
                    "state": _state(row, progress),
                    **record(
                        {name: getattr(row, name) for name in told},
                        money=("max_cost",),
                        times=("submitted_at", "cancelled_at"),
                    ),
                }
                for row, progress in found
            ]
        )
        return
    table(
        [
            "id",
            Column("file", rank=1, long=True),
            Column("task", rank=3),
            Column("rows", right=True),
            Column("done", right=True, rank=1),
            Column("failed", right=True, rank=1),
            Column("cost", right=True),
            Column("state", rank=1),
            Column("age", right=True, rank=2),
            Column("submitted", rank=4),
        ],
        [
            (
                row.id[:_BEGINNING] if on_terminal() else row.id,
                row.source,
                row.task,
                f"{progress.total:,}",
                f"{progress.states.get('succeeded', 0):,}",
                f"{progress.states.get('dead', 0):,}",
                marked(format_usd(progress.spent + progress.booked), progress.simulated),
                _state(row, progress),
                age(row.submitted_at, now),
                moment(row.submitted_at),
            )
            for row, progress in found
        ],
        empty="no job was submitted",
    )
    if len(found) == limit:
        echo(f"there may be more: --after {found[-1][0].id}", err=not on_terminal())


def _state(row: JobRecord, progress: JobProgress) -> str:
    if progress.cancelled:
        return "cancelled"
    if not row.complete:
        if progress.sampled:
            return "sampled"
        return "incomplete" if progress.stopped else "submitting"
    return "ended" if progress.over else "running"


job.add_command(watch)
job.add_command(show)
job.add_command(results)
job.add_command(webhook)
job.add_command(errors)
job.add_command(continue_)


@job.command(epilog="Example: tierqueue job cancel 01a1fb7f-603c-71c9-9671-39b7af6c9a05")
@click.argument("job_id", metavar="ID")
@json_option
def cancel(job_id: str, as_json: bool) -> None:
    """Cancel what of job ID has not ended; calls that are running are aborted."""
    from tierqueue.ledger.operations import jobs
    from tierqueue.operations.cli.input.operator import operator

    cancelled = 0
    with open_ledger() as ledger:
        with ledger.read() as connection:
            job_id = job_named(connection, job_id)
        while True:
            with ledger.write() as connection:
                rows = jobs.cancel(connection, job_id, operator())
            if rows is None:
                break
            cancelled += rows
        wake()
    if as_json:
        emit({"job": job_id, "cancelled": cancelled})
    else:
        echo(f"job {job_id}: {count(cancelled, 'row')} cancelled; running calls are being aborted")
