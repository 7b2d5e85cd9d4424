"""``tierqueue router calibrate``, ``retire`` and ``promote``: what may be trusted, and what not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.operator import operator
from tierqueue.operations.cli.input.options import task_named
from tierqueue.operations.cli.input.policies import policy_in_force
from tierqueue.operations.cli.output.printing import Column, emit, json_option, paragraph, table
from tierqueue.operations.cli.output.printing import echo as say_line
from tierqueue.router.errors import InvalidItem

if TYPE_CHECKING:
    from tierqueue.router.learned.certify import Certificate, NoCertificate

_SHARE = click.FloatRange(0, 0.5, min_open=True)


@click.command(epilog="Example: tierqueue router calibrate tierqueue.classify")
@click.argument("task")
@click.option(
    "--alpha", default=0.05, show_default=True, type=_SHARE, help="Share that may be wrong."
)
@click.option(
    "--delta", default=0.1, show_default=True, type=_SHARE, help="Chance that this is wrong."
)
@click.option(
    "--most", default=50_000, show_default=True, type=click.IntRange(1, 200_000), help="Labels."
)
@json_option
def calibrate(task: str, alpha: float, delta: float, most: int, as_json: bool) -> None:
    """Find the confidence from which on a deployment's answers to TASK may be trusted.

    From what people said of its newest answers, by feedback, reviews and labelled sets: the lowest
    min_confidence at which at most alpha of the answers are wrong, certified at delta. It holds for
    work like that which was judged. Exit 1 where it cannot be certified for any deployment; then it
    says what it would take.
    """
    from tierqueue.ledger.evaluation import labels
    from tierqueue.router.learned.certify import Certificate
    from tierqueue.router.learned.thresholds import calibrated

    task = task_named(task).name
    with open_ledger() as ledger, ledger.read() as connection:
        judged = labels.confidences(connection, task, most)
    found = {
        name: calibrated([sure for sure, _ in rows], [not right for _, right in rows], alpha, delta)
        for name, rows in sorted(judged.items())
    }
    sizes = {name: len(rows) for name, rows in judged.items()}
    if as_json:
        emit([_as_dict(name, sizes[name], one) for name, one in found.items()])
    else:
        _print(task, sizes, found)
    if not any(isinstance(one, Certificate) for one in found.values()):
        raise click.exceptions.Exit(1)


def _as_dict(name: str, judged: int, found: Certificate | NoCertificate) -> dict[str, Any]:
    from tierqueue.router.learned.certify import NoCertificate

    told: dict[str, Any] = {"deployment": name, "judged": judged}
    if isinstance(found, NoCertificate):
        return {**told, "certified": False, "why": found.why, "takes": found.takes}
    return {
        **told,
        "certified": True,
        "min_confidence": found.threshold,
        "kept": found.trial.rows,
        "wrong": found.trial.wrong,
        "bound": round(found.bound, 6),
        "alpha": found.alpha,
        "delta": found.delta,
    }


def _print(task: str, sizes: dict[str, int], found: dict[str, Certificate | NoCertificate]) -> None:
    from tierqueue.router.learned.certify import Certificate, NoCertificate

    table(
        [
            "deployment",
            "judged>",
            "min_confidence>",
            Column("kept", right=True, rank=1),
            Column("wrong", right=True, rank=1),
            Column("at most", right=True, rank=2),
        ],
        [
            (
                name,
                f"{sizes[name]:,}",
                f"{one.threshold:.4g}",
                f"{one.trial.rows:,}",
                f"{one.trial.wrong:,}",
                f"{one.bound:.1%}",
            )
            for name, one in found.items()
            if isinstance(one, Certificate)
        ],
        empty="no confidence can be certified",
    )
    for name, one in found.items():
        if isinstance(one, NoCertificate):
            paragraph("", f"{name} cannot be certified: {one.why}. {one.takes}")
    if not found:
        paragraph(
            "",
            f"of {task} no answer with a confidence was judged: tierqueue eval --label, feedback"
            " and review bring such labels",
        )


@click.command(epilog="Example: tierqueue router retire surrogate-0f343b093112")
@click.argument("version")
@json_option
def retire(version: str, as_json: bool) -> None:
    """Take a surrogate or rules out of service: their items go to the model, within a second."""
    from tierqueue.ledger.in_force import surrogates

    task = _task_of(version)
    with open_ledger() as ledger, ledger.write() as connection:
        changed = surrogates.retire(connection, version, task, operator())
    _done(version, "retired" if changed else "was out of service already", as_json)


@click.command(epilog="Example: tierqueue router promote surrogate-0f343b093112")
@click.argument("version")
@json_option
def promote(version: str, as_json: bool) -> None:
    """Put a surrogate or rules that somebody retired back into service.

    What its audits switched off stays off: train another one, change the rules.
    """
    from tierqueue.ledger.in_force import surrogates

    _task_of(version)
    with open_ledger() as ledger, ledger.write() as connection:
        changed = surrogates.promote(connection, version, operator())
    _done(version, "in service" if changed else "was in service already", as_json)


def _task_of(version: str) -> str:
    """The task type that a version of the policy is for; raises ``InvalidItem`` for another."""
    from tierqueue.router.policy.policy_errors import there_is_no

    policy = policy_in_force()
    if version not in policy.audited:
        known = policy.audited
        raise InvalidItem(there_is_no("surrogate or rules in the policy", version, known))
    return policy.audited[version]


def _done(version: str, said: str, as_json: bool) -> None:
    if as_json:
        emit({"version": version, "now": said})
    else:
        say_line(f"{version}: {said}")
