"""``tierqueue job submit --sample`` and ``job continue``: some rows first, then the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger, wake
from tierqueue.operations.cli.input.names import job_named
from tierqueue.operations.cli.input.options import task_named
from tierqueue.operations.cli.jobs.watch import wait
from tierqueue.operations.cli.output.escapes import json_line
from tierqueue.operations.cli.output.outlay import money, outlay_dict, outlay_lines, within
from tierqueue.operations.cli.output.printing import (
    Column,
    dollars,
    echo,
    emit,
    json_option,
    paragraph,
    table,
)
from tierqueue.operations.cli.output.simulated import AMONG, marked
from tierqueue.tasks.durations import duration
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tierqueue.ledger.job_records import RowAnswer
    from tierqueue.ledger.session import Ledger
    from tierqueue.router.policy.policy import Policy
    from tierqueue.tasks.jobs.expectation import Estimate
    from tierqueue.tasks.jobs.sample_report import SampleReport
    from tierqueue.tasks.jobs.sampling import Layer
    from tierqueue.tasks.jobs.submission import Submission


def print_report(
    ledger: Ledger,
    job_id: str,
    submission: Submission,
    layers: Sequence[Layer],
    *,
    as_json: bool,
) -> None:
    """Wait for a job's sample, and say what became of it and what the whole file will come to."""
    from rich.console import Console

    from tierqueue.ledger.in_force import tier_concurrency
    from tierqueue.ledger.session import now as database_now
    from tierqueue.operations.cli.input.policies import applied_or_file
    from tierqueue.operations.cli.output.job_progress import follow
    from tierqueue.tasks.jobs.quote import most_after
    from tierqueue.tasks.jobs.sample_report import report

    with ledger.read() as connection:
        policy = applied_or_file(connection)
    follow(ledger, job_id, console=Console(soft_wrap=True, stderr=True))
    with ledger.read() as connection:
        in_force, now = tier_concurrency.all_concurrency(connection), database_now(connection)
    more = most_after(submission.drawn(layers), policy, now)
    found = report(ledger, job_id, layers, policy, in_force, more)
    if as_json:
        emit(_as_dict(job_id, submission.file.total, found, policy))
    else:
        _print(job_id, submission.file.total, found, policy)


@click.command(name="continue", epilog="Example: tierqueue job continue 01a1fb7f-603c")
@click.argument("job_id", metavar="ID")
@click.option("--watch", "watching", is_flag=True, help="Wait until every row has ended.")
@json_option
def continue_(job_id: str, watching: bool, as_json: bool) -> None:
    """Submit the rows of job ID that its sample left out; those of the sample are not paid again.

    What all rows are asked, and the job's ceiling, are as they were.
    """
    from tierqueue.ledger.operations import jobs
    from tierqueue.tasks.jobs.resume import resume

    with open_ledger() as ledger:
        with ledger.read() as connection:
            job = jobs.get(connection, job_named(connection, job_id))
        assert job is not None
        submission, how = resume(job, task_named(job.task))
        submitted = submission.submit(
            ledger,
            wake,
            max_cost=None,
            progress=lambda *_: None,
            retry_failed=how["retry_failed"],
            anew=how["anew"],
        )
    if as_json:
        emit({"job": submitted.id, "total": submitted.total, "new": submitted.new})
    else:
        echo(f"job {submitted.id}: {count(submitted.total, 'row')}, {submitted.new:,} new")
    if watching:
        wait(submitted.id, as_json=as_json)


def _as_dict(job_id: str, total: int, found: SampleReport, policy: Policy) -> dict[str, Any]:
    return {
        "job": job_id,
        "total": total,
        "sampled": len(found.rows),
        "accepted": found.accepted,
        "failed": found.failed,
        "tiers": found.tiers,
        **money(found.cost),
        "ceilings_count": policy.ceilings_count,
        "simulated": any(row.simulated for row in found.rows),
        **outlay_dict(found.outlay),
        **_seconds(found.seconds),
        "rows": [
            {
                "index": row.number,
                "item": row.id,
                "state": row.state,
                "tier": row.tier,
                "cost_nanousd": row.spent,
                "simulated": row.simulated,
                "output": row.output,
                "error": row.error,
            }
            for row in found.rows
        ],
    }


def _seconds(found: Estimate | None) -> dict[str, float | None]:
    names = (("expected", "value"), ("low", "low"), ("high", "high"))
    return {
        f"{said}_seconds": None if found is None else getattr(found, name) for said, name in names
    }


def _print(job_id: str, total: int, found: SampleReport, policy: Policy) -> None:
    table(
        ["row>", "tier", "cost>", Column("answer", long=True)],
        [
            (
                f"{row.number:,}",
                row.tier,
                marked(dollars(row.spent), row.simulated),
                json_line(row.output) if row.output is not None else _why(row),
            )
            for row in found.rows
        ],
    )
    ends = [f"{found.accepted} of {len(found.rows)} accepted"]
    ends += [f"{rows} {reason}" for reason, rows in sorted(found.failed.items())]
    mix = ", ".join(f"{tier} {rows}" for tier, rows in sorted(found.tiers.items()))
    paragraph("", f"sample: {', '.join(ends)}" + (f"; answered by {mix}" if mix else ""))
    mark = AMONG if any(row.simulated for row in found.rows) else ""
    paragraph("", f"whole file of {count(total, 'row')}: about {within(found.cost)} (95%){mark}")
    for line in outlay_lines(found.outlay, policy):
        paragraph("", line)
    if found.seconds is None:
        echo(f"time: unknown, {found.untimed or 'no call of the sample was timed'}")
    else:
        least, most = duration(found.seconds.low), duration(found.seconds.high)
        echo(f"time: about {duration(found.seconds.value)}, between {least} and {most}")
    echo(
        f"each beside its row: tierqueue job results {job_id}",
        f"go on: tierqueue job continue {job_id}",
        f"or not: tierqueue job cancel {job_id}",
    )


def _why(row: RowAnswer) -> str:
    return f"{row.reason or row.state}: {(row.error or {}).get('message', '')}"
