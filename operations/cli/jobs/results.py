"""``tierqueue job results`` and ``job webhook``: the file back, and who is told of its job."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import job_named, one_of
from tierqueue.operations.cli.input.options import into_table
from tierqueue.operations.cli.output.printing import echo, emit, json_option
from tierqueue.operations.cli.output.result_files import (
    KINDS,
    NAMED,
    binary,
    following,
    kind_of,
    written,
)
from tierqueue.operations.cli.output.simulated import AMONG
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.tasks.durations import duration
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.job_records import JobRecord
    from tierqueue.ledger.session import Ledger
    from tierqueue.tasks.files.source import Format
    from tierqueue.tasks.jobs.export.answers import Shape
    from tierqueue.tasks.jobs.export.into_table import IntoTable
    from tierqueue.tasks.jobs.export.results import JobResults, ResultsSummary

_CELLS = frozenset({"csv", "tsv", "parquet", "xlsx", "xlsm", "xls", "xlsb", "ods"})
"""Kinds of files whose rows are cells: an answer is a column for each of its fields there."""


_TICK_SECONDS = 1.0
"""Seconds between two checks of what has ended, and for which rows are gathered at the most."""

_BATCH = 200
"""Rows that one transaction writes into somebody's table."""


@click.command(epilog="Example: tierqueue job results 01a1fb7f-603c --to answers.csv --key id")
@click.argument("job_id", metavar="ID")
@click.option(
    *("-o", "--to", "--output", "output"),
    type=click.Path(path_type=Path, dir_okay=False),
    help="Else stdout.",
)
@click.option(
    "--format",
    "kind",
    type=one_of(sorted(set(NAMED.values()))),
    help="Else by the file's name, and on stdout the source's own.",
)
@click.option("--key", "keys", multiple=True, metavar="COLUMN", help="Of the source, this alone.")
@click.option("--prefix", default="", metavar="TEXT", help="Before the name of each added column.")
@click.option(
    "--flat/--nested", default=None, help="A column for each field of an answer, or one with all."
)
@click.option(
    "--source", type=click.Path(path_type=Path, dir_okay=False), help="Where the file is now."
)
@click.option("--without-source", is_flag=True, help="The answers alone, with receipts.")
@click.option("--follow", is_flag=True, help="Each row once it has ended, in order, to the last.")
@click.option("--into", metavar="env:NAME", help="A database instead: its address's variable.")
@click.option("--table", metavar="TABLE", help="There: its rows are filled in by --key.")
def results(
    job_id: str,
    output: Path | None,
    kind: str | None,
    keys: tuple[str, ...],
    prefix: str,
    flat: bool | None,
    source: Path | None,
    without_source: bool,
    follow: bool,
    into: str | None,
    table: str | None,
) -> None:
    """Give the file of job ID back: every row in its order, with what became of it.

    The source is read again, so it must be there. Added are the answer (`output`, or a column
    `output_…` for each of its fields; in JSON lines one object), `error`, `tier`, `cost` in
    dollars and `item`. A row without an answer says why in `error`. A summary stands on stderr;
    exit 1 where rows were not submitted yet, or read otherwise than when they were.

    --follow writes JSON lines. --into fills in the rows of a table by one --key, which is unique
    there, with those of the added columns that it has; killed and called again it writes the same.
    """
    from tierqueue.ledger.operations import jobs
    from tierqueue.tasks.jobs.export.answers import Shape
    from tierqueue.tasks.jobs.export.results import JobResults

    chosen = kind or (None if output is None else kind_of(output))
    sink = _sink(into, table, keys, prefix, output)
    if follow:
        if without_source or chosen not in (None, "jsonl"):
            raise InvalidItem("--follow gives JSON lines with their source: leave the others out")
        chosen = "jsonl"
    with open_ledger() as ledger:
        with ledger.read() as connection:
            job = jobs.get(connection, job_named(connection, job_id))
        assert job is not None
        if without_source or job.path is None:
            _answers(ledger, job.id, chosen or "jsonl", output)
            return
        own = Path(source or job.path)
        if output is not None and output.exists() and own.exists() and output.samefile(own):
            raise InvalidItem(f"{output} is the source itself: write the results beside it")
        cells = sink is not None or (chosen or own.suffix.lower().lstrip(".")) in _CELLS
        shape = Shape(prefix, cells if flat is None else flat, keys)
        found = JobResults(ledger, job, shape, source)
        rows = found.rows((lambda: time.sleep(_TICK_SECONDS)) if follow else None)
        if sink is not None:
            _fill(sink, found, rows)
        else:
            _give_back(found, _form(found, chosen, shape), output, rows, flush=follow)
    told = found.summary
    echo(_line(job, told), err=True)
    if told.missing or told.changed:
        raise click.exceptions.Exit(1)


def _answers(ledger: "Ledger", job_id: str, kind: str, output: Path | None) -> None:
    from tierqueue.tasks.jobs.export.results import every_result

    if kind not in KINDS:
        raise InvalidItem(f"answers without their source are {' or '.join(KINDS)}: say --format")
    with written(output) as file:
        write = KINDS[kind](file)
        for row in every_result(ledger, job_id):
            write(row)


def _form(found: "JobResults", kind: str | None, shape: "Shape") -> "Format":
    """The source's own format; another kind, or some of its columns, have a header of their own."""
    from tierqueue.tasks.files.source import Format

    form = found.source.format
    if kind is not None and kind != form.kind:
        return Format(kind)
    return replace(form, header=()) if shape.keys else form


def _give_back(
    found: "JobResults",
    form: "Format",
    output: Path | None,
    rows: Iterator[dict[str, Any]],
    *,
    flush: bool,
) -> None:
    from tierqueue.tasks.files.writing import writer

    # What is followed is there as it comes; any other file once it is whole.
    place = following(output) if flush else binary(output)
    with place as file, writer(file, form, found.columns, found.added) as write:
        for row in rows:
            write(row)
            if flush:
                file.flush()


def _sink(
    into: str | None, table: str | None, keys: tuple[str, ...], prefix: str, output: Path | None
) -> "IntoTable | None":
    """Where the rows go instead of a file; raises ``InvalidItem`` for half of what it takes."""
    sink = into_table(into, table, keys, prefix)
    if sink is not None and output is not None:
        raise InvalidItem("--into takes no file: leave --to out")
    return sink


def _fill(sink: "IntoTable", found: "JobResults", rows: Iterator[dict[str, Any]]) -> None:
    from tierqueue.ledger.operations.foreign_database import filled
    from tierqueue.tasks.jobs.export.into_table import only_once

    batch: list[dict[str, Any]] = []
    only_once(found.source, sink.key)
    written = time.monotonic()
    with filled(sink.url(), sink.table, sink.key) as into:
        for row in rows:
            batch.append(row)
            if len(batch) >= _BATCH or time.monotonic() - written > _TICK_SECONDS:
                into.put(batch)
                batch, written = [], time.monotonic()
        into.put(batch)
    if into.left_out:
        echo(f"{sink.table} has no {', '.join(sorted(into.left_out))}: left out", err=True)


def _line(job: "JobRecord", told: "ResultsSummary") -> str:
    """The summary: what came of the rows, and for how much."""
    from tierqueue.router.item import BelowTier
    from tierqueue.router.money import format_usd

    ends = [
        f"{told.succeeded:,} succeeded",
        *(f"{rows:,} {reason}" for reason, rows in sorted(told.failed.items())),
    ]
    for rows, what in (
        (told.open, "not ended"),
        (told.missing, "not submitted"),
        (told.changed, "changed since"),
    ):
        if rows:
            ends.append(f"{rows:,} {what}")
    parts = [", ".join(ends)]
    if told.reused:
        parts.append(f"{told.reused:,} reused")
    parts += [
        f"{rows:,} by {BelowTier(who).in_words}, without a call"
        for who, rows in sorted(told.below.items())
    ]
    cost = format_usd(told.cost) + (AMONG if told.simulated else "")
    parts += [f"{told.tokens:,} tokens", cost]
    if told.ended_at:
        parts.append(duration((told.ended_at - job.submitted_at) / SECOND_US))
    return f"job {job.id}: {count(told.rows, 'row')}: {'; '.join(parts)}"


@click.command(
    epilog="Example: tierqueue job webhook 01a1fb7f --to https://acme.example/jobs"
    " --secret env:JOBS_SECRET"
)
@click.argument("job_id", metavar="ID")
@click.option("--to", "address", metavar="URL", help="https://…, or http:// on this machine.")
@click.option("--secret", metavar="env:NAME|FILE", help="Where a routing stage finds the secret.")
@json_option
def webhook(job_id: str, address: str | None, secret: str | None, as_json: bool) -> None:
    """Have an address told when job ID is done, stopped or stalled; without --to: how it stands.

    A routing stage posts JSON and signs it with the secret, 16 characters or more: its variable or
    file is named, and must be there where that stage runs.
    """
    from tierqueue.ledger.results import webhooks
    from tierqueue.operations.cli.input.operator import operator
    from tierqueue.tasks.results.job_webhook import check

    if (address is None) != (secret is None):
        raise InvalidItem("--to and --secret go together")
    with open_ledger() as ledger, ledger.write() as connection:
        job_id = job_named(connection, job_id)
        if address is not None and secret is not None:
            check(address, secret)
            webhooks.put(connection, job_id, address, secret, operator())
        hook = webhooks.get(connection, job_id)
    if hook is None:
        raise InvalidItem(f"nobody is told of job {job_id}: say --to and --secret")
    if as_json:
        emit({"job": job_id, "told": hook.told, "tries": hook.tries, "error": hook.error})
        return
    said = f"told last: {hook.told or 'nothing yet'}"
    if hook.error is not None:
        again = "given up" if hook.look_at is None else "tried again"
        said += f"; failed {count(hook.tries, 'time')} in a row ({hook.error}), {again}"
    echo(f"job {job_id}: {said}")
