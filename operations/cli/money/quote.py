"""``tierqueue quote``: what a file of work would cost, before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.options import (
    demand_options,
    pieces_options,
    read_arguments,
    reading_options,
    task_named,
)
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.money.long_rows import LongRows
from tierqueue.operations.cli.money.quote_report import as_dict, enough, judged, print_quote
from tierqueue.operations.cli.output.printing import (
    echo,
    emit,
    json_option,
    paragraph,
)
from tierqueue.router.money import parse_usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tierqueue.ledger.lifecycle.items import NewItem
    from tierqueue.tasks.files.source import Reading
    from tierqueue.tasks.routing.splitting import DocumentPlans
    from tierqueue.tasks.submission.pieces import Pieces


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
    reading: Reading,
    pieces: Pieces | None,
    demands: Mapping[str, Any],
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
        {**read_arguments(task, texts), **demands},
        column=column,
        reading=reading,
        pieces=pieces,
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
            if pieces is not None:
                return None
            return foreseen(task, new.arguments, demands, policy, conditions)

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
        emit(as_dict(found, limit, long, policy))
    else:
        print_quote(found, policy)
        for line in long.lines:
            paragraph("", line)
        if limit is not None:
            paragraph("", judged(found, limit))
    if found.refused or enough(found, limit) is False:
        raise click.exceptions.Exit(1)
