"""``tierqueue job errors``: why rows failed, in groups, and some of each asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import job_named
from tierqueue.operations.cli.output.printing import Column, echo, emit, json_option, table
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import format_usd
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.operations.jobs import JobProgress
    from tierqueue.tasks.jobs.errors import ErrorGroup

_BATCH = 500
"""Dead letters that are replayed in one transaction."""


@click.command(epilog="Example: tierqueue job errors 01a1fb7f-603c --replay 10%")
@click.argument("job_id", metavar="ID")
@click.option("--group", "number", type=click.IntRange(1), help="Of this line alone.")
@click.option("--replay", "much", metavar="N|N%|all", help="Ask so many rows of each group again.")
@click.option("--yes", is_flag=True, help="Do it; without it only say what it may cost.")
@json_option
def errors(job_id: str, number: int | None, much: str | None, yes: bool, as_json: bool) -> None:
    """Say why rows of job ID failed: by reason and kind of error, with an example and the cost.

    --replay asks some of them again: a handful first (5), then 10%, then all. Malformed rows have
    no way back: submit the file again, corrected.
    """
    from tierqueue.ledger.operations import jobs
    from tierqueue.tasks.jobs.errors import groups

    with open_ledger() as ledger:
        with ledger.read() as connection:
            job_id = job_named(connection, job_id)
            progress = jobs.progress(connection, job_id)
        found = list(enumerate(groups(ledger, job_id), start=1))
        if number is not None:
            found = [(line, group) for line, group in found if line == number]
            if not found:
                raise InvalidItem(f"--group {number}: job {job_id} has no such line of errors")
        if much is None:
            _show(found, as_json, progress.simulated)
            return
        drawn = [group.some(_share(much, len(group.items))) for _, group in found]
        ids = [item for items, _ in drawn for item in items]
        done = _replay(ids) if yes else 0
    _print(job_id, progress, ids, sum(bound for _, bound in drawn), done, yes=yes, as_json=as_json)


def _share(much: str, whole: int) -> int:
    """How many ``much`` is of ``whole``; raises ``InvalidItem`` for what is no amount."""
    if much == "all":
        return whole
    digits = much.removesuffix("%")
    if not (digits.isascii() and digits.isdigit()) or not int(digits):
        raise InvalidItem(f"--replay {much!r}: say a number of rows, a share such as 10%, or all")
    return -(-whole * int(digits) // 100) if much.endswith("%") else int(digits)


def _replay(ids: list[str]) -> int:
    from tierqueue.operations.cli.input.operator import operator
    from tierqueue.tasks.app import app
    from tierqueue.tasks.results.replay import replay

    done = 0
    for start in range(0, len(ids), _BATCH):
        some = ids[start : start + _BATCH]
        # Of a document its pieces are replayed with it, and are no rows.
        done += len({*some} & {*replay(app, some, operator())})
    return done


def _show(found: list[tuple[int, ErrorGroup]], as_json: bool, simulated: bool) -> None:
    if as_json:
        emit([{**_as_dict(line, group), "simulated": simulated} for line, group in found])
        return
    table(
        [
            *("group>", "reason", "rows>", "cost>"),
            Column("again at most", right=True, rank=2),
            Column("example", rank=3),
            Column("error", rank=1, long=True),
        ],
        [
            (
                line,
                group.reason,
                f"{group.rows:,}",
                marked(format_usd(group.cost), simulated),
                format_usd(group.bound) if group.items else "no way back",
                group.example[1],
                group.kind,
            )
            for line, group in found
        ],
        empty="no row failed",
    )


def _as_dict(line: int, group: ErrorGroup) -> dict[str, Any]:
    row, item, message = group.example
    return {
        "group": line,
        "reason": group.reason,
        "error": group.kind,
        "rows": group.rows,
        "items": len(group.items),
        "cost_nanousd": group.cost,
        "bound_nanousd": group.bound,
        "example": {"index": row, "item": item, "message": message},
    }


def _print(
    job_id: str,
    progress: JobProgress,
    ids: list[str],
    bound: int,
    done: int,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """What was replayed or would be, what it may cost, and what the job's ceiling has left."""
    headroom = None
    if progress.max_cost is not None:
        headroom = progress.max_cost - progress.spent - progress.booked - progress.held
    if as_json:
        emit(
            {
                "job": job_id,
                "matching": len(ids),
                "done": done,
                "dry_run": not yes,
                "bound_nanousd": bound,
                "headroom_nanousd": headroom,
                "simulated": progress.simulated,
            }
        )
        return
    cost = f"at most {marked(format_usd(bound), progress.simulated)} for one call each"
    if yes:
        echo(f"replay: {done:,} of {count(len(ids), 'dead letter')}, {cost}")
    else:
        echo(f"would replay {count(len(ids), 'dead letter')}, {cost}; say --yes to do it")
    if headroom is not None and headroom < bound:
        echo(
            f"the job's ceiling has {format_usd(max(0, headroom))} left, which is less: raise it"
            f" with tierqueue ceilings raise job:{job_id} total LIMIT"
        )
