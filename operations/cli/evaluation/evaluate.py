"""``tierqueue eval``: a labelled set on every tier and on the ladder, beside simpler ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tierqueue.operations.cli.evaluation.report import (
    as_dict,
    print_quotes,
    print_ways,
    quotes_as_dict,
)
from tierqueue.operations.cli.input.ledger_access import open_ledger, wake
from tierqueue.operations.cli.input.names import one_of
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.input.options import (
    demand_options,
    read_arguments,
    reading_options,
    task_named,
)
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.output.printing import echo, emit, json_option
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import TIERS, Tier
from tierqueue.router.money import parse_usd
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tierqueue.ledger.session import Ledger
    from tierqueue.router.policy.policy import Policy
    from tierqueue.tasks.evaluation.labelled_set import LabelledSet
    from tierqueue.tasks.evaluation.ways import Way
    from tierqueue.tasks.files.source import Reading
    from tierqueue.tasks.jobs.quote import Quote


@click.command(
    name="eval",
    epilog="Example: tierqueue eval labelled.csv --task tierqueue.classify --column text"
    " --truth label --set labels=@labels.txt --max-cost 2usd",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", "name", required=True, help="Such as tierqueue.classify.")
@click.option("--truth", required=True, metavar="COLUMN", help="It says what is right.")
@click.option("--column", help="Ask this column alone, as the task's first argument.")
@click.option("--field", help="Of an answer: what is compared. Else all but the confidence.")
@click.option("--group", metavar="COLUMN", help="Its values are told apart by the prior.")
@click.option(
    "--tier", "only", multiple=True, type=one_of([t.value for t in TIERS]), help="Not all of them."
)
@click.option("--set", "texts", multiple=True, metavar="NAME=VALUE", help="Or NAME=@file.")
@click.option(
    "--prompt",
    "instruction",
    type=click.Path(path_type=Path),
    help="A file with another instruction than the task type's own, to be compared with that.",
)
@click.option("--max-cost", help="Of all that this command pays for, such as 2usd.")
@click.option("--retry-failed", is_flag=True, help="Rows that failed before are asked again.")
@click.option("--anew", is_flag=True, help="Ask every row, also where it was answered before.")
@click.option("--label", "labelling", is_flag=True, help="Keep what is right as labels of answers.")
@click.option("--yes", is_flag=True, help="Do it; without it only say what it can cost.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw it too: a .png or a .svg.")
@reading_options
@demand_options
@json_option
def eval_(
    file: Path,
    name: str,
    truth: str,
    column: str | None,
    field: str | None,
    group: str | None,
    only: tuple[str, ...],
    texts: tuple[str, ...],
    instruction: Path | None,
    max_cost: str | None,
    retry_failed: bool,
    anew: bool,
    labelling: bool,
    yes: bool,
    plot: Path | None,
    as_json: bool,
    reading: Reading,
    demands: Mapping[str, Any],
) -> None:
    """Ask every tier, and the ladder, the rows of FILE, and say how often each is right.

    Every row is asked of each tier alone and once more as work usually goes: as items of jobs, in
    their ceilings. Without --yes it says what that can cost, and sends nothing. What it pays for is
    kept: the same command again goes on where it stopped, and pays nothing twice. No tier is asked
    that the data boundary or a floor forbids. With --prompt it asks all this once more under
    another instruction, and says each way's figures for both.
    """
    from tierqueue.operations.cli.evaluation.evaluation_plot import draw
    from tierqueue.operations.cli.output.plot_file import refuse_unusable
    from tierqueue.tasks.evaluation.baselines import beside
    from tierqueue.tasks.evaluation.labelled_set import LADDER, LabelledSet
    from tierqueue.tasks.evaluation.labelling import label

    if plot is not None:
        refuse_unusable(plot)
    policy = policy_in_force()
    limit = None if max_cost is None else parse_usd(max_cost)
    task = task_named(name)
    sets = {
        version: LabelledSet(
            task,
            file,
            {**read_arguments(task, texts), **demands},
            truth,
            column=column,
            reading=reading,
            field=field,
            group=group,
            system=system,
        )
        for version, system in _instructions(instruction).items()
    }
    labelled = sets[None]
    wanted: list[Tier | None] = [*_tiers(policy, only), None]
    asked = [
        EvaluationRun(_named(tier, version), one, tier)
        for version, one in sets.items()
        for tier in wanted
    ]
    with open_ledger() as ledger:
        shared = not anew and not retry_failed
        told = {one.name: _quoted(ledger, one, name, policy, shared=shared) for one in asked}
        asked = [one for one in asked if told[one.name].parts]
        if not as_json:
            print_quotes(told)
        if not yes:
            if as_json:
                emit({"asked": False, "quotes": quotes_as_dict(told)})
            else:
                echo("nothing was sent: say --yes to do it")
            return
        ways = _ask(ledger, asked, limit, retry_failed=retry_failed, anew=anew, as_json=as_json)
        said = 0
        if labelling:
            set_of = {one.name: one.labelled for one in asked}
            said = sum(label(ledger, set_of[way.name], way, operator()) for way in ways)
    lengths = {
        new.job_index: new.prompt_bytes
        for new, _ in labelled.submission(None).made()
        if new.job_index is not None
    }
    alone = [way for way in ways if way.name in set(Tier)]
    ladder = next((way for way in ways if way.name == LADDER), None)
    found = [] if ladder is None else beside(alone, ladder, lengths, labelled.groups)
    if as_json:
        emit(
            {
                "asked": True,
                "labelled": said,
                "quotes": quotes_as_dict(told),
                **as_dict(ways, found),
            }
        )
    else:
        print_ways(ways, found)
        if labelling:
            echo(f"{count(said, 'answer')} labelled")
    if plot is not None:
        draw(plot, ways, found)
    if len(ways) < len(asked):
        echo("--max-cost is used up: the same command with more goes on", err=True)
        raise click.exceptions.Exit(1)


def _tiers(policy: Policy, only: tuple[str, ...]) -> list[Tier]:
    """The tiers to ask; raises ``InvalidItem`` for one without a deployment."""
    there = {deployment.tier for deployment in policy.deployments.values()}
    if missing := [name for name in only if Tier(name) not in there]:
        raise InvalidItem(f"--tier {missing[0]}: the policy has no deployment there")
    return [tier for tier in TIERS if tier in there and (not only or tier.value in only)]


class EvaluationRun(NamedTuple):
    """A way of asking: the set, and the tier that is asked alone."""

    name: str
    labelled: LabelledSet
    tier: Tier | None


def _named(tier: Tier | None, version: str | None) -> str:
    from tierqueue.tasks.evaluation.labelled_set import LADDER

    way = LADDER if tier is None else tier.value
    return way if version is None else f"{way}, {version}"


def _instructions(file: Path | None) -> dict[str | None, str | None]:
    """Each instruction by its version; ``None`` is the task type's own."""
    from tierqueue.router.policy.defaults import prompt_version

    if file is None:
        return {None: None}
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidItem(f"--prompt {file} cannot be read: {why}") from None
    if not text.strip():
        raise InvalidItem(f"--prompt {file} is empty")
    return {None: None, prompt_version(text): text}


def _quoted(
    ledger: Ledger, asked: EvaluationRun, name: str, policy: Policy, *, shared: bool
) -> Quote:
    """``shared``: what was asked before is not asked again."""
    from tierqueue.ledger.accounting import spending
    from tierqueue.ledger.accounting.spending import SpendingQuery
    from tierqueue.ledger.in_force import tier_concurrency
    from tierqueue.ledger.session import now as database_now
    from tierqueue.tasks.jobs.quote import quote
    from tierqueue.tasks.routing.forecast.answerers import Answerers
    from tierqueue.tasks.routing.forecast.file_rows import RowsBelow
    from tierqueue.tasks.routing.measurements import measure

    with ledger.read() as connection:
        past = spending.past(connection, name, SpendingQuery(simulated=policy.simulated))
        in_force = tier_concurrency.all_concurrency(connection)
        now = database_now(connection)
        measured = measure(connection, policy, now)
        first = Answerers.in_service(connection, policy)
    submission = asked.labelled.submission(asked.tier)
    return quote(
        submission.made(),
        policy,
        past,
        in_force,
        now,
        measured,
        below=RowsBelow(ledger, first, now, submission.run() if shared else None),
    )


def _ask(
    ledger: Ledger,
    asked: list[EvaluationRun],
    limit: int | None,
    *,
    retry_failed: bool,
    anew: bool,
    as_json: bool,
) -> list[Way]:
    """One job after the other, so that none waits in another's queue; what is left of ``limit``
    (nano-dollars) is each job's ceiling. Those ways that were asked.
    """
    from rich.console import Console

    from tierqueue.operations.cli.output.job_progress import follow
    from tierqueue.tasks.evaluation.ways import measured

    ways: list[Way] = []
    left = limit
    for name, labelled, tier in asked:
        if left is not None and left <= 0:
            break
        labelled.store(ledger)
        submitted = labelled.submission(tier).submit(
            ledger,
            wake,
            max_cost=left,
            progress=lambda _committed, _total: None,
            retry_failed=retry_failed,
            anew=anew,
        )
        if not as_json:
            echo(f"{name}: job {submitted.id}, {submitted.new:,} new, {submitted.reused:,} reused")
        last = follow(ledger, submitted.id, console=Console(soft_wrap=True, stderr=True))
        if left is not None:
            left -= last.spent + last.booked
        ways.append(measured(ledger, labelled, name, submitted.id))
    return ways
