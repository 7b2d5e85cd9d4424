"""``tierqueue job results``: the file back, with what became of each row."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.names import job_named, one_of
from tierqueue.operations.cli.input.opened import opened
from tierqueue.operations.cli.output.printing import duration, say
from tierqueue.operations.cli.output.result_files import KINDS, NAMED, binary, kind_of, written
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.session import Ledger
    from tierqueue.tasks.files.source import Format
    from tierqueue.tasks.jobs.results import JobResults, Shape, Summary

_CELLS = frozenset({"csv", "tsv", "parquet", "xlsx", "xlsm", "xls", "xlsb", "ods"})
"""Kinds of files whose rows are cells: an answer is a column for each of its fields there."""


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
def results(
    job_id: str,
    output: Path | None,
    kind: str | None,
    keys: tuple[str, ...],
    prefix: str,
    flat: bool | None,
    source: Path | None,
    without_source: bool,
) -> None:
    """Give the file of job ID back: every row in its order, with what became of it.

    The source is read again, so it must be there. Added are the answer (`output`, or a column
    `output_…` for each of its fields; in JSON lines one object), `error`, `tier`, `cost` in
    dollars and `item`. A row without an answer says why in `error`. A summary stands on stderr;
    exit 1 where rows were not submitted yet, or read otherwise than when they were.
    """
    from tierqueue.ledger.operations import jobs
    from tierqueue.tasks.jobs.results import JobResults, Shape

    chosen = kind or (None if output is None else kind_of(output))
    with opened() as ledger:
        with ledger.read() as connection:
            row = jobs.get(connection, job_named(connection, job_id))
        assert row is not None
        job = dict(row)
        if without_source or job["path"] is None:
            _answers(ledger, job["id"], chosen or "jsonl", output)
            return
        own = Path(source or job["path"])
        if output is not None and output.exists() and own.exists() and output.samefile(own):
            raise InvalidItem(f"{output} is the source itself: write the results beside it")
        cells = (chosen or own.suffix.lower().lstrip(".")) in _CELLS
        shape = Shape(prefix, cells if flat is None else flat, keys)
        found = JobResults(ledger, job, shape, source)
        _give_back(found, _form(found, chosen, shape), output)
    told = found.summary
    say(_line(job, told), err=True)
    if told.missing or told.changed:
        raise click.exceptions.Exit(1)


def _answers(ledger: "Ledger", job_id: str, kind: str, output: Path | None) -> None:
    from tierqueue.tasks.jobs.submission import every_result

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


def _give_back(found: "JobResults", form: "Format", output: Path | None) -> None:
    from tierqueue.tasks.files.writing import writer

    with binary(output) as file, writer(file, form, found.columns, found.added) as write:
        for row in found.rows():
            write(row)


def _line(job: Mapping[str, Any], told: "Summary") -> str:
    """The summary: what came of the rows, and for how much."""
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
    parts += [f"{told.tokens:,} tokens", format_usd(told.cost)]
    if told.ended_at:
        parts.append(duration((told.ended_at - job["submitted_at"]) / 1e6))
    return f"job {job['id']}: {count(told.rows, 'row')}: {'; '.join(parts)}"
