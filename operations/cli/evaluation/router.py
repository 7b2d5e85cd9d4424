"""``tierqueue router``: surrogates and predictors are trained from answers, and rules listed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tierqueue.operations.cli.evaluation.calibrate import calibrate, promote, retire
from tierqueue.operations.cli.evaluation.compare import compare
from tierqueue.operations.cli.evaluation.predictor import train_predictor
from tierqueue.operations.cli.evaluation.rules import rules
from tierqueue.operations.cli.input.group import CommandGroup
from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.input.names import one_of
from tierqueue.operations.cli.input.options import task_named
from tierqueue.operations.cli.output.printing import echo, emit, json_option
from tierqueue.router.errors import InvalidItem, Misconfigured
from tierqueue.router.item import TIERS, Tier

if TYPE_CHECKING:
    from tierqueue.ledger.session import Ledger
    from tierqueue.router.learned.certify import NoCertificate
    from tierqueue.router.learned.embedding import Embedding
    from tierqueue.router.learned.surrogate_training import CalibratedBounds, TrainingAnswer
    from tierqueue.tasks.submission.item_task import ItemTask

_SHARE = click.FloatRange(0, 0.5, min_open=True)
_TIER = one_of([tier.value for tier in TIERS])


@click.group(cls=CommandGroup)
def router() -> None:
    """What the router learns from answers that were accepted."""


@dataclass(frozen=True, slots=True)
class _TrainingSet:
    """Answers to calls that differ in their text alone; ``others`` were to other calls."""

    surroundings: str
    answers: list[TrainingAnswer]
    others: int


@router.command(
    epilog="Example: tierqueue router train tierqueue.classify --out classify.safetensors"
)
@click.argument("task")
@click.option(
    "--predictor", is_flag=True, help="Of what a stronger tier gains, instead of a surrogate."
)
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
@click.option(
    "--embedding",
    metavar="FOLDER",
    help="Of a surrogate: a tokenizer.json and a *.safetensors, beside n-grams.",
)
@click.option("--cheaper", type=_TIER, help="With --predictor; else the pair with most answers.")
@click.option("--stronger", type=_TIER, help="With --predictor: the tier above it.")
@click.option("--field", help="With --predictor: of an answer, what is compared.")
@click.option(
    "--believe", is_flag=True, help="With --predictor: the stronger tier, where nobody said."
)
@json_option
def train(
    task: str,
    predictor: bool,
    out: str,
    argument: str,
    alpha: float,
    delta: float,
    most: int,
    embedding: str | None,
    cheaper: str | None,
    stronger: str | None,
    field: str | None,
    believe: bool,
    as_json: bool,
) -> None:
    """Train a surrogate for TASK from its newest accepted answers, and certify it.

    Its outputs must have a `label`. It is trained for the calls that are most frequent among them:
    the same labels, instructions and prompt version. Exit 1 where it cannot be certified, with what
    it would take; nothing is written then.

    With --embedding it looks, beside n-grams, at the mean of the vectors of a text's tokens, from a
    folder as Hugging Face has them. Take one that was not itself trained on these answers.

    With --predictor train instead what says of an item whether a stronger tier is right where a
    cheaper one is wrong: from items that both answered (second answers, evaluations, what was
    refused below), where feedback, reviews or a labelled set say what is right. It is tried on
    items that do not train it. Exit 1, and nothing written, where it is not better than chance.
    """
    from tierqueue.router.learned.certify import NoCertificate
    from tierqueue.router.learned.surrogate import Guarantee
    from tierqueue.router.learned.surrogate_training import SurrogateScope, calibrate, written
    from tierqueue.router.learned.surrogate_training import train as fit

    _needs_the_extra()
    kind = _kind(task, argument)
    if predictor:
        tiers = tuple(None if name is None else Tier(name) for name in (cheaper, stronger))
        _refuse_given("alpha", "delta", "embedding", what="a surrogate, and not with --predictor")
        train_predictor(
            kind, out, argument, (tiers[0], tiers[1]), field, most, believe=believe, as_json=as_json
        )
        return
    _refuse_given("cheaper", "stronger", "field", "believe", what="--predictor")
    held = None if embedding is None else _embedding(embedding)
    with open_ledger() as ledger:
        learned = _read(ledger, kind, argument, most)
    trained = fit(learned.answers, embedding=held)
    if isinstance(trained, NoCertificate):
        _refuse(trained, as_json)
    found = calibrate(trained, Guarantee(alpha, delta))
    if isinstance(found, NoCertificate):
        _refuse(found, as_json)
    purpose = SurrogateScope(task, argument, learned.surroundings)
    content = written(trained.linear, purpose, found)
    try:
        Path(out).write_bytes(content)
    except OSError as error:
        raise Misconfigured(f"{out} cannot be written: {error.strerror}") from None
    _print(task, out, content, embedding, learned, found, as_json)


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


def _embedding(folder: str) -> Embedding:
    from tierqueue.router.errors import InvalidArtefact
    from tierqueue.tasks.routing.surrogates import embedding_in

    try:
        return embedding_in(folder)
    except InvalidArtefact as error:
        raise InvalidItem(f"--embedding: {error.message}") from None


def _refuse_given(*names: str, what: str) -> None:
    """Refuse options that would be ignored."""
    from click.core import ParameterSource

    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} is for {what}")


def _kind(task: str, argument: str) -> ItemTask[..., Any]:
    from tierqueue.router.policy.policy_errors import there_is_no

    kind = task_named(task)
    if argument not in kind.arguments_model.model_fields:
        raise InvalidItem(
            f"{task}: {there_is_no('argument', argument, kind.arguments_model.model_fields)}"
        )
    return kind


def _read(ledger: Ledger, kind: ItemTask[..., Any], argument: str, most: int) -> _TrainingSet:
    from tierqueue.ledger.operations.accepted_answers import accepted
    from tierqueue.router.learned.surrogate import surroundings
    from tierqueue.router.learned.surrogate_training import TrainingAnswer

    found: dict[str, list[TrainingAnswer]] = {}
    with ledger.read() as connection:
        for row in accepted(connection, kind.name, most):
            label = row.output.get("label") if isinstance(row.output, dict) else None
            content = row.arguments.get(argument)
            if isinstance(label, str) and isinstance(content, str):
                here = surroundings(row.arguments, argument, kind.prompt_version)
                found.setdefault(here, []).append(TrainingAnswer(content, label))
    counted = Counter({here: len(answers) for here, answers in found.items()})
    if not counted:
        return _TrainingSet("", [], 0)
    here, size = counted.most_common(1)[0]
    return _TrainingSet(here, found[here], counted.total() - size)


def _refuse(found: NoCertificate, as_json: bool) -> NoReturn:
    if as_json:
        emit({"certified": False, "why": found.why, "takes": found.takes})
    else:
        echo(f"cannot be certified: {found.why}. {found.takes}", err=True)
    raise click.exceptions.Exit(1)


def _print(
    task: str,
    out: str,
    content: bytes,
    embedding: str | None,
    learned: _TrainingSet,
    found: CalibratedBounds,
    as_json: bool,
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
    echo(
        f"{out}: from {len(learned.answers)} accepted answers"
        f" ({learned.others} to other calls were left out)",
        f"It answers {found.covered:.1%} of such texts and is certified to differ from the model on"
        f" at most {found.certificate.alpha:.1%} of them ({trial.wrong} of {trial.rows} did).",
        "To put it in service, add to the policy and restart the routing stage:",
        "",
        f'[tasks."{task}".surrogate]',
        f'file = "{Path(out).resolve()}"',
        f'sha256 = "{digest}"',
        *([] if embedding is None else [f'embedding = "{Path(embedding).resolve()}"']),
    )
