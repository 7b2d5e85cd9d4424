"""``tierqueue policy``: is this file a policy, and what would it have done with recorded items?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from tierqueue.operations.cli.input.names import ago
from tierqueue.operations.cli.input.opened import opened
from tierqueue.operations.cli.input.options import task_types
from tierqueue.operations.cli.input.policies import read_policy
from tierqueue.operations.cli.output.printing import (
    Column,
    emit,
    json_option,
    paragraph,
    say,
    table,
)
from tierqueue.router.errors import InvalidPolicy, Misconfigured, Unpriced
from tierqueue.router.money import format_usd
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.ledger.session import Transaction
    from tierqueue.router.policy.policy import Policy
    from tierqueue.router.signals import Predicted
    from tierqueue.tasks.jobs.policy_replay import Replayed


def be_usable(found: Policy) -> None:
    """Raises ``Unpriced`` where a deployment's model has no price today, and ``Misconfigured``
    where a file of what was learned is missing, another one, or for other work, where words or a
    table of rules cannot be used; it names the file and the line; and where rules, another prompt
    or second answers are for a task type that is not there.
    """
    from tierqueue.router.pricing import max_rate
    from tierqueue.tasks.routing.predictors import Predictors
    from tierqueue.tasks.routing.surrogates import Surrogates

    Surrogates(found)
    Predictors(found)
    today = datetime.now(UTC).date()
    for deployment in found.deployments.values():
        max_rate(deployment, today)
    if any(getattr(usual, name) for usual in found.tasks.values() for name in _FOR_DECLARED):
        from tierqueue.tasks.routing.rules.serving import Rules
        from tierqueue.tasks.routing.rules.task_types import be_declared

        task_types()
        be_declared(found)
        Rules(found)


_FOR_DECLARED = ("rules", "prompt", "explore", "shadow")


def notes_of(found: Policy) -> list[str]:
    """What is no fault of a policy, and ought to be seen: task types that are not there."""
    from tierqueue.tasks.routing.rules.task_types import undeclared

    if not found.tasks and not any(rule.task for rule in found.floors):
        return []
    try:
        task_types()
    except Misconfigured as wrong:
        return [f"which task types there are cannot be said: {wrong.message}"]
    return list(undeclared(found))


@click.group()
def policy() -> None:
    """Check a policy, try it on recorded items, put it in force."""


@policy.command(epilog="Example: tierqueue policy check tierqueue.toml")
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@json_option
def check(file: str | None, as_json: bool) -> None:
    """Check FILE (else TIERQUEUE_POLICY): exit 0 where it holds, 1 with what is wrong with it.

    A deployment whose model has no price is wrong too: nothing would ever be sent there. So is a
    surrogate or a predictor whose file is not here, is another one, or was trained for other work,
    and rules whose table is another one, or with which the task type could not answer. A task type
    that is not known here is told with the nearest name: a floor for it holds for nothing else.
    """
    try:
        found, path = read_policy(file)
        be_usable(found)
    except (InvalidPolicy, Misconfigured, Unpriced) as error:
        if as_json:
            emit({"valid": False, "error": error.message, **error.fields})
        else:
            say(f"error: {error.message}", err=True)
        raise click.exceptions.Exit(1) from None
    deployments = found.deployments.values()
    if as_json:
        told = {"policy": path, "digest": found.digest, "deployments": len(deployments)}
        emit({"valid": True, **told, "notes": notes_of(found)})
        return
    say(f"{path} holds; its digest is {found.digest}")
    print_notes(notes_of(found))
    table(
        [
            *("deployment", "tier"),
            Column("engine", rank=2),
            "model",
            Column("boundary", rank=1),
            Column("key", rank=3),
        ],
        [
            (
                deployment.name + (" (simulated)" if deployment.simulated else ""),
                deployment.tier,
                deployment.engine,
                deployment.model,
                deployment.boundary,
                deployment.key_env,
            )
            for deployment in deployments
        ],
        empty="it has no deployment",
    )


def print_notes(notes: list[str]) -> None:
    for note in notes:
        paragraph("note: ", note)


MOST = 20_000
"""Most items that are replayed, the newest."""

_READ = 500
"""Items whose arguments are read at once, where a predictor is asked."""


@policy.command(epilog="Example: tierqueue policy replay tierqueue.toml --since 7d")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--since", default="7d", show_default=True, help="Submitted in the last 24h, 7d, …")
@click.option(
    "--items",
    "shown",
    default=10,
    show_default=True,
    type=click.IntRange(0, MOST),
    help="Most items that are listed of those which would go elsewhere.",
)
@json_option
def replay(file: str, since: str, shown: int, as_json: bool) -> None:
    """Send recorded items through the policy FILE: where each would have gone, for how much.

    Nothing is sent and nothing is written; prompts are read for predictors, and for who answers
    without a call at no cost (rules, earlier answers, surrogates), so that their tokens are bounded
    by their bytes. What is expected includes escalations, by the answers that
    each deployment has given so far; one without answers counts with its upper bound. First comes
    what is expected to be refused: by walls, by the policy's ceilings (empty at the first item),
    and by deadlines that are shorter than such calls took. Exit 1 where anything is.
    """
    found, _ = read_policy(file)
    with opened() as ledger, ledger.read() as connection:
        outcome = through(connection, found, since)
    if as_json:
        emit(outcome.to_json())
    else:
        print_replayed(outcome, shown)
    if outcome.refused:
        raise click.exceptions.Exit(1)


def through(connection: Transaction, found: Policy, since: str) -> Replayed:
    """What ``found`` would have done with items submitted in the last ``since`` (``7d``)."""
    from tierqueue.ledger.accounting import spending
    from tierqueue.ledger.accounting.spending import Asked
    from tierqueue.ledger.lifecycle import routes
    from tierqueue.ledger.operations import item_list
    from tierqueue.ledger.session import now
    from tierqueue.tasks.jobs.policy_replay import replayed
    from tierqueue.tasks.routing.answered_below.asked_first import AskedFirst
    from tierqueue.tasks.routing.answered_below.recorded import ItemsBelow
    from tierqueue.tasks.routing.measured import measure
    from tierqueue.tasks.routing.predictors import Predictors

    begin = ago(since)
    assert begin is not None
    simulated = frozenset(
        deployment.name for deployment in found.deployments.values() if deployment.simulated
    )
    items = item_list.recorded(connection, begin, MOST)
    if any(usual.rules is not None or usual.reuse is not None for usual in found.tasks.values()):
        task_types()
    below = ItemsBelow(AskedFirst.in_service(connection, found), found)
    asked = Asked(simulated=simulated)
    tasks = sorted({one.item.task for one in items})
    past = {task: spending.past(connection, task, asked) for task in tasks}
    predictors = Predictors(found)
    wanted = [
        one.item
        for one in items
        if predictors.wants(one.item.task) or below.first.wants(one.item.task)
    ]
    predicted: dict[str, Predicted] = {}
    for part in (wanted[at : at + _READ] for at in range(0, len(wanted), _READ)):
        arguments = routes.arguments(connection, [item.id for item in part])
        read = [item for item in part if item.id in arguments]
        called = [(item.id, item.task, arguments[item.id], item.budget) for item in read]
        predicted |= predictors.predict(called)
        for item in read:
            below.read(item, arguments[item.id])
    known = measure(connection, found, now(connection))
    return replayed(items, found, past, known, predicted, below)


def print_replayed(outcome: Replayed, shown: int) -> None:
    refused = outcome.refused
    of = count(outcome.items, "item")
    say(f"{len(refused):,} of {of} {'is' if len(refused) == 1 else 'are'} expected to be refused")
    for reason, ids in sorted(refused.items.items()):
        say(f"refused: {count(len(ids), 'item')} {reason}, such as {ids[0]}")
        for example in refused.examples(reason):
            paragraph("  ", f"{example['item']}: {example['why']}")
    table(
        ["deployment", "items before>", "items after>"],
        [
            (name, f"{before:,}", f"{after:,}")
            for name, (before, after) in sorted(outcome.by_deployment.items())
        ],
        empty="no item was routed in this time",
    )
    expected = outcome.expected
    paragraph(
        "",
        f"{count(outcome.items, 'item')} cost {format_usd(outcome.spent)};"
        f" expected under this policy: {format_usd(round(expected.value))}, between"
        f" {format_usd(round(expected.low))} and {format_usd(round(expected.high))} (95%)",
    )
    if outcome.unknown:
        items = count(outcome.unknown, "item")
        paragraph("", f"{items} would go where no answer is known: each counts with its bound")
    for version, asked in sorted(outcome.predicted.items()):
        elsewhere = count(outcome.swayed[version], "item")
        paragraph("", f"{version} was asked for {count(asked, 'item')}: {elsewhere} go elsewhere")
    if outcome.predicted:
        without = format_usd(round(outcome.without.value))
        paragraph("", f"expected without predictors: {without}")
    say(f"{count(len(outcome.moves), 'item')} would go elsewhere")
    for move in outcome.moves[:shown]:
        paragraph("  ", f"{move.item}: {move.before} -> {move.after}, {move.why}")
    if outcome.items == MOST:
        say(f"the newest {MOST:,} items alone; there are more")
