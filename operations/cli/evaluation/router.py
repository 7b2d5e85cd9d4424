"""``tierqueue router``: surrogates are trained from what was accepted, and rules listed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from tierqueue.operations.cli.evaluation.calibrate import calibrate, promote, retire
from tierqueue.operations.cli.evaluation.compare import compare
from tierqueue.operations.cli.evaluation.rules import rules
from tierqueue.operations.cli.input.opened import opened
from tierqueue.operations.cli.input.options import task_named
from tierqueue.operations.cli.output.printing import emit, json_option, say
from tierqueue.router.errors import InvalidItem, Misconfigured

if TYPE_CHECKING:
    from tierqueue.ledger.session import Ledger
    from tierqueue.router.learned.certify import Uncertified
    from tierqueue.router.learned.surrogate_training import Answer, Calibrated

_SHARE = click.FloatRange(0, 0.5, min_open=True)


@click.group()
def router() -> None:
    """What the router learns from answers that were accepted."""


@dataclass(frozen=True, slots=True)
class _Learned:
    """Answers to calls that differ in their text alone; ``others`` were to other calls."""

    surroundings: str
    answers: list[Answer]
    others: int


@router.command(
    epilog="Example: tierqueue router train tierqueue.classify --out classify.safetensors"
)
@click.argument("task")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="Where it is written.")
@click.option("--argument", default="text", show_default=True, help="The argument with the text.")
@click.option(
    "--alpha", default=0.05, show_default=True, type=_SHARE, help="Share that may differ."
)
@click.option(
    "--delta", default=0.05, show_default=True, type=_SHARE, help="Chance that this is wrong."
)
@click.option(
    "--most", default=50_000, show_default=True, type=click.IntRange(1, 200_000), help="Answers."
)
@json_option
def train(
    task: str, out: str, argument: str, alpha: float, delta: float, most: int, as_json: bool
) -> None:
    """Train a surrogate for TASK from its newest accepted answers, and certify it.

    Its outputs must have a `label`. It is trained for the calls that are most frequent among them:
    the same labels, instructions and prompt version. Exit 1 where it cannot be certified, with what
    it would take; nothing is written then.
    """
    from tierqueue.router.learned.certify import Uncertified
    from tierqueue.router.learned.surrogate import Promise
    from tierqueue.router.learned.surrogate_training import Purpose, calibrate, written
    from tierqueue.router.learned.surrogate_training import train as fit

    _needs_the_extra()
    with opened() as ledger:
        learned = _read(ledger, task, argument, most)
    trained = fit(learned.answers)
    if isinstance(trained, Uncertified):
        _refuse(trained, as_json)
    found = calibrate(trained, Promise(alpha, delta))
    if isinstance(found, Uncertified):
        _refuse(found, as_json)
    purpose = Purpose(task, argument, learned.surroundings)
    content = written(trained.linear, purpose, found)
    try:
        Path(out).write_bytes(content)
    except OSError as error:
        raise Misconfigured(f"{out} cannot be written: {error.strerror}") from None
    _print(task, out, content, learned, found, as_json)


router.add_command(calibrate)
router.add_command(compare)
router.add_command(retire)
router.add_command(promote)
router.add_command(rules)


def _needs_the_extra() -> None:
    try:
        import safetensors  # noqa: F401
        import sklearn  # noqa: F401
    except ModuleNotFoundError as missing:
        raise Misconfigured(
            f"training needs the extra `router`: pip install 'tierqueue[router]' ({missing})"
        ) from None


def _read(ledger: Ledger, task: str, argument: str, most: int) -> _Learned:
    from tierqueue.ledger.operations.accepted import accepted
    from tierqueue.router.learned.surrogate import surroundings
    from tierqueue.router.learned.surrogate_training import Answer
    from tierqueue.router.policy.policy_errors import there_is_no

    kind = task_named(task)
    if argument not in kind.arguments_model.model_fields:
        raise InvalidItem(
            f"{task}: {there_is_no('argument', argument, kind.arguments_model.model_fields)}"
        )
    found: dict[str, list[Answer]] = {}
    with ledger.read() as connection:
        for row in accepted(connection, task, most):
            label = row.output.get("label") if isinstance(row.output, dict) else None
            content = row.arguments.get(argument)
            if isinstance(label, str) and isinstance(content, str):
                here = surroundings(row.arguments, argument, kind.prompt_version)
                found.setdefault(here, []).append(Answer(content, label))
    counted = Counter({here: len(answers) for here, answers in found.items()})
    if not counted:
        return _Learned("", [], 0)
    here, size = counted.most_common(1)[0]
    return _Learned(here, found[here], counted.total() - size)


def _refuse(found: Uncertified, as_json: bool) -> NoReturn:
    if as_json:
        emit({"certified": False, "why": found.why, "takes": found.takes})
    else:
        say(f"cannot be certified: {found.why}. {found.takes}", err=True)
    raise click.exceptions.Exit(1)


def _print(
    task: str, out: str, content: bytes, learned: _Learned, found: Calibrated, as_json: bool
) -> None:
    digest, trial = sha256(content).hexdigest(), found.certificate.trial
    if as_json:
        emit(
            {
                "certified": True,
                "file": out,
                "sha256": digest,
                "answers": len(learned.answers),
                "other_calls": learned.others,
                "covered": round(found.covered, 4),
                "certified_rows": trial.rows,
                "certified_differing": trial.wrong,
                "alpha": found.certificate.alpha,
                "delta": found.certificate.delta,
            }
        )
        return
    say(
        f"{out}: from {len(learned.answers)} accepted answers"
        f" ({learned.others} to other calls were left out)",
        f"It answers {found.covered:.1%} of such texts and is certified to differ from the model on"
        f" at most {found.certificate.alpha:.1%} of them ({trial.wrong} of {trial.rows} did).",
        "To put it in service, add to the policy and restart the routing stage:",
        "",
        f'[tasks."{task}".surrogate]',
        f'file = "{Path(out).resolve()}"',
        f'sha256 = "{digest}"',
    )
