"""``tierqueue quote``: what a file of work would cost, before anything runs."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.options import (
    demand_options,
    given,
    pieces_of,
    pieces_options,
    read_arguments,
    read_text,
    reading_options,
    task_named,
)
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.money.long_rows import LongRows
from tierqueue.operations.cli.output.outlay import money, outlay_dict, outlay_lines
from tierqueue.operations.cli.output.printing import (
    Column,
    dollars,
    echo,
    emit,
    json_option,
    paragraph,
    record,
    table,
)
from tierqueue.operations.cli.output.simulated import AMONG, marked
from tierqueue.router.money import NanoUSD, format_usd, parse_usd
from tierqueue.tasks.durations import duration
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tierqueue.ledger.accounting.spending import CallHistory
    from tierqueue.ledger.lifecycle.items import NewItem
    from tierqueue.router.policy.policy import Policy
    from tierqueue.tasks.jobs.expectation import Estimate
    from tierqueue.tasks.jobs.quote import Quote, QuotePart
    from tierqueue.tasks.routing.splitting import DocumentPlans


@click.command(
    epilog="Example: tierqueue quote tickets.csv --task tierqueue.classify --column text"
    " --set labels=@labels.txt --risk internal"
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", "name", required=True, help="Such as tierqueue.classify.")
@click.option("--column", help="Read this column alone, as the task's first argument.")
@click.option("--set", "texts", multiple=True, metavar="NAME=VALUE", help="Or NAME=@file.")
@click.option("--max-cost", help="Of the whole job, such as 2usd: would it be enough?")
@reading_options
@demand_options
@pieces_options
@json_option
def quote(
    file: Path,
    name: str,
    column: str | None,
    texts: tuple[str, ...],
    max_cost: str | None,
    as_json: bool,
    encoding: str | None,
    separator: str | None,
    sheet: str | None,
    by: Any,
    query: str | None,
    split: Any,
    on_failure: Any,
    characters: int | None,
    **demands: Any,
) -> None:
    """Say what FILE would come to as a job: where its rows would go, for how much, how long.

    FILE is read as `job submit` reads it; nothing is sent and nothing is written. The upper bound
    is that of one call a row: retries and escalations come on top, each within every ceiling. What
    is expected includes them, as items of this task type have needed them so far: the fewer these
    are, the wider its range. With --split a long row is all calls of its pieces and of what joins
    them, so that a bound is that of one call each. What an earlier job over the same file has asked
    is not paid again. Exit 1 where a row would be refused, or where
    more than --max-cost is expected.
    """
    from tierqueue.ledger.accounting import spending
    from tierqueue.ledger.accounting.spending import SpendingQuery
    from tierqueue.ledger.in_force import tier_concurrency
    from tierqueue.ledger.session import now as database_now
    from tierqueue.tasks.files.source import Reading
    from tierqueue.tasks.jobs.quote import quote as quoted
    from tierqueue.tasks.jobs.submission import Submission
    from tierqueue.tasks.kinds.in_pieces import foreseen
    from tierqueue.tasks.kinds.job_document import JobDocument
    from tierqueue.tasks.routing.forecast.answerers import Answerers
    from tierqueue.tasks.routing.forecast.file_rows import RowsBelow
    from tierqueue.tasks.routing.measurements import measure
    from tierqueue.tasks.routing.token_counter import TokenCounter

    policy = policy_in_force()
    limit = None if max_cost is None else parse_usd(max_cost)
    task = task_named(name)
    submission = Submission(
        task,
        file,
        {**read_arguments(task, texts), **given(demands)},
        column=column,
        reading=Reading(encoding, separator, sheet, by, read_text(query)),
        pieces=pieces_of(split, on_failure, characters),
    )
    for note in submission.file.notes:
        echo(f"{file.name}: {note}", err=True)
    with open_ledger() as ledger:
        with ledger.read() as connection:
            past = spending.past(connection, name, SpendingQuery(simulated=policy.simulated))
            in_force = tier_concurrency.all_concurrency(connection)
            now = database_now(connection)
            measured = measure(connection, policy, now)
            first = Answerers.in_service(connection, policy)
        long, conditions = LongRows(), measured.conditions(now)
        counter = TokenCounter(policy)

        def both_ways(new: NewItem) -> DocumentPlans | None:
            if split is not None:
                return None
            return foreseen(task, new.arguments, given(demands), policy, conditions)

        def calls_of(new: NewItem) -> Sequence[NewItem]:
            if new.split is None:
                return [new]
            document = JobDocument(new)
            whole = not (document.always or document.compared(policy, conditions, counter).split)
            return [replace(new, split=None)] if whole else document.calls

        below = RowsBelow(ledger, first, now, submission.run())
        made = long.counting(submission.made(), both_ways)
        found = quoted(made, policy, past, in_force, now, measured, calls_of, below)
    if as_json:
        _emit(found, limit, long, policy)
    else:
        _print(found, policy)
        for line in long.lines:
            paragraph("", line)
        if limit is not None:
            paragraph("", _judged(found, limit))
    if found.refused or _enough(found, limit) is False:
        raise click.exceptions.Exit(1)


def _emit(found: Quote, limit: NanoUSD | None, long: LongRows, policy: Policy) -> None:
    emit(
        {
            "rows": found.rows,
            "answered_without_a_call": found.answered,
            "bound_nanousd": found.bound,
            "simulated": any(part.simulated for part in found.parts.values()),
            **money(found.expected),
            "ceilings_count": policy.ceilings_count,
            **outlay_dict(found.outlay),
            "learned_from_items": found.learned_from,
            "max_cost_nanousd": limit,
            "enough": _enough(found, limit),
            "seconds": found.seconds,
            "parts": [
                {
                    "tier": part.tier.value,
                    "deployment": part.deployment,
                    "simulated": part.simulated,
                    "lane": part.lane.value,
                    **({} if found.in_pieces else {"rows": part.rows}),
                    "calls": part.rows if part.calls else 0,
                    "counted": part.counted,
                    "bound_nanousd": part.bound,
                    **money(part.expected),
                    **outlay_dict(part.outlay),
                    "past": None if part.past is None else _past(part.past),
                }
                for part in found.parts.values()
            ],
            "refused": {reason: asdict(refusal) for reason, refusal in found.refused.items()},
            "in_pieces": {
                "long_rows": long.rows,
                "cheaper_rows": long.cheaper,
                "whole_nanousd": long.whole,
                "bound_nanousd": long.pieces,
                "only_rows": long.only,
                "only_bound_nanousd": long.alone,
                "split_rows": found.in_pieces,
                "calls": found.calls,
            },
        }
    )


def _past(past: CallHistory) -> dict[str, Any]:
    told = record(asdict(past), money=("cost",))
    return {name: value for name, value in told.items() if name not in ("squares", "lanes")}


_LANES = {"live": "", "batch": ", in batches", "flex": ", by flex"}


def _engine(part: QuotePart) -> str:
    hours = None if part.outlay is None else part.outlay.hours.value
    return duration(hours * 3_600) if hours else ""


def _learned_from(part: QuotePart) -> str:
    if not part.calls:
        return ""
    return "nothing" if part.past is None else count(part.past.items, "item")


def _print(found: Quote, policy: Policy) -> None:
    whole = found.calls + found.answered if found.in_pieces else found.rows
    table(
        [
            Column("tier", rank=3),
            *("deployment", "calls>" if found.in_pieces else "rows>"),
            Column("share", right=True, rank=4),
            *("at most>", "expected>"),
            Column("between", rank=2),
            Column("engine", right=True, rank=5),
            Column("from", rank=1),
        ],
        [
            (
                part.tier.value,
                marked(part.deployment + _LANES[part.lane], part.simulated),
                f"{part.rows:,}",
                f"{part.rows / whole:.0%}",
                format_usd(part.bound),
                "unknown" if part.expected is None else dollars(part.expected.value),
                "" if part.expected is None else _range(part.expected),
                _engine(part),
                _learned_from(part),
            )
            for part in found.parts.values()
        ],
        empty="no row would go anywhere",
    )
    for reason, dead in sorted(found.refused.items()):
        echo(f"refused: {count(dead.rows, 'row')} {reason}, the first has index {dead.first}:")
        paragraph("  ", dead.why)
    rows = count(found.rows, "row")
    if found.in_pieces:
        rows = f"{rows}, {found.in_pieces:,} of them in pieces, {count(found.calls, 'call')}"
    if found.answered:
        rows = f"{rows}, {found.answered:,} of them answered without a call"
    mark = AMONG if any(part.simulated for part in found.parts.values()) else ""
    echo(f"{rows}: at most {format_usd(found.bound)} for one call each{mark}")
    if found.expected is not None:
        paragraph(
            "",
            f"expected: {dollars(found.expected.value)} with retries and escalations, between"
            f" {_range(found.expected)} (95%){mark}, from {count(found.learned_from, 'item')}",
        )
        for line in [] if found.outlay is None else outlay_lines(found.outlay, policy):
            paragraph("", line)
    else:
        unknown = [part.deployment for part in found.parts.values() if part.expected is None]
        echo(f"expected: unknown, no item of this task type has ended on {', '.join(unknown)}")
    if found.seconds is None:
        echo(f"time: unknown, {found.untimed}")
    else:
        echo(f"time: about {duration(found.seconds)} once it begins")


def _range(expected: Estimate) -> str:
    return f"{dollars(expected.low)} and {dollars(expected.high)}"


def _enough(found: Quote, limit: NanoUSD | None) -> bool | None:
    """Whether ``limit`` covers what is expected, else one call a row; ``None`` where unknown."""
    if limit is None:
        return None
    if found.expected is not None:
        return found.expected.value <= limit
    return True if found.bound <= limit else None


def _judged(found: Quote, limit: NanoUSD) -> str:
    """What becomes of the job under this ceiling."""
    stated, dies = f"--max-cost {format_usd(limit)}", "rows that it cannot pay die of cost_ceiling"
    match _enough(found, limit):
        case True if found.expected is not None and found.expected.high <= limit:
            return f"{stated} is above all of that range"
        case True if found.expected is not None:
            return f"{stated} covers what is expected, and not all of its range: {dies}"
        case True:
            return f"{stated} covers one call for each row, and nothing is known of retries: {dies}"
        case False:
            return f"{stated} is less than what is expected: {dies}"
        case _:
            return f"{stated} is less than one call for each row can cost: {dies}"
