"""``tierqueue policy``: is this file a policy, and what would it have done with recorded items?"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.options import task_types
from tierqueue.operations.cli.input.policies import read_policy, simulated_known
from tierqueue.operations.cli.output.printing import (
    Column,
    echo,
    emit,
    json_option,
    paragraph,
    table,
)
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.operations.cli.system.policy_trial import (
    MOST,
    print_replayed,
    replayed_dict,
    through,
)
from tierqueue.router.errors import InvalidPolicy, Misconfigured, Unpriced

if TYPE_CHECKING:
    from tierqueue.router.policy.policy import Policy


def be_usable(found: Policy, source: str) -> None:
    """Raises ``Unpriced`` where a deployment's model has no price today, and ``Misconfigured``
    where a file of what was learned is missing, another one, or for other work, where words or a
    table of rules cannot be used; it names the policy's ``source``, the file and the line; and
    where rules, another prompt or second answers are for a task type that is not there.
    """
    try:
        _be_usable(found)
    except (Misconfigured, Unpriced) as error:
        message = f"{source}: {error.message}"
        raise type(error)(message, {**error.fields, "source": source}) from None


def _be_usable(found: Policy) -> None:
    from tierqueue.router.policy.policy_errors import dotted
    from tierqueue.router.pricing import max_rate
    from tierqueue.tasks.routing.predictors import Predictors
    from tierqueue.tasks.routing.surrogates import Surrogates

    for task, absent in Surrogates(found).deferring.items():
        where = dotted("tasks", task, "surrogate", "embedding")
        raise Misconfigured(f"{where}: {absent.why}", {"task": task})
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


_WITH_A_FILE = ("rules", "surrogate", "predictor")
"""Tables of a task type that may name a file."""


def relative_files(found: Policy) -> dict[str, str]:
    """The files that a policy names by a relative path, by the keys that name them."""
    from tierqueue.router.policy.policy_errors import dotted

    stated: dict[str, str | None] = {
        dotted("tasks", task, name, "file"): getattr(usual, name).file
        for task, usual in found.tasks.items()
        for name in _WITH_A_FILE
        if getattr(usual, name) is not None
    }
    for task, usual in found.tasks.items():
        if usual.surrogate is not None:
            stated[dotted("tasks", task, "surrogate", "embedding")] = usual.surrogate.embedding
    for name, deployment in found.deployments.items():
        stated[dotted("deployments", name, "tokenizer")] = deployment.tokenizer
    return {
        key: file
        for key, file in stated.items()
        if file is not None and not Path(file).is_absolute()
    }


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


@click.group(cls=CommandGroup)
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
        be_usable(found, path)
    except (InvalidPolicy, Misconfigured, Unpriced) as error:
        if as_json:
            emit({"valid": False, "error": error.message, **error.fields})
        else:
            echo(f"error: {error.message}", err=True)
        raise click.exceptions.Exit(1) from None
    deployments = found.deployments.values()
    if as_json:
        told = {"policy": path, "digest": found.digest, "deployments": len(deployments)}
        emit({"valid": True, **told, "notes": notes_of(found)})
        return
    echo(f"{path} holds; its digest is {found.digest}")
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
                marked(deployment.name, deployment.simulated),
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
    with open_ledger() as ledger, ledger.read() as connection:
        outcome = through(connection, found, since)
        names = simulated_known(connection) | found.simulated
    if as_json:
        emit(replayed_dict(outcome, names))
    else:
        print_replayed(outcome, shown, names)
    if outcome.refused:
        raise click.exceptions.Exit(1)
