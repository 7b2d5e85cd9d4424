"""``tierqueue router train --predictor``: who gains from a stronger tier, from answers of both."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tierqueue.operations.cli.input.ledger_access import open_ledger
from tierqueue.operations.cli.output.printing import echo, emit, paragraph
from tierqueue.router.errors import InvalidItem, Misconfigured
from tierqueue.tasks.plural import count

if TYPE_CHECKING:
    from tierqueue.router.item import Tier
    from tierqueue.router.learned.gain_trial import GainTrial
    from tierqueue.tasks.evaluation.gains import Gains, Pair, TrainingRows
    from tierqueue.tasks.submission.item_task import ItemTask

_EXPLORE = (
    "second answers (tasks.TASK.explore in the policy) and `tierqueue eval --yes --label` bring"
    " items that both tiers answered; feedback says which answer is right"
)


def train_predictor(
    kind: ItemTask[..., Any],
    out: str,
    argument: str,
    tiers: tuple[Tier | None, Tier | None],
    field: str | None,
    most: int,
    *,
    believe: bool,
    as_json: bool,
) -> None:
    """Train a predictor of what the stronger of two tiers gains, and write it where that is shown
    to be better than chance; else say why not, and what it takes, with exit 1.
    """
    from tierqueue.ledger.evaluation.answers_by_tier import answered
    from tierqueue.router.learned.gain_training import TierPair, train
    from tierqueue.router.learned.gain_trial import LEAST, tried
    from tierqueue.tasks.evaluation.gains import Gains

    gains = Gains(kind.name, argument, kind.prompt_version, field, believe=believe)
    with open_ledger() as ledger, ledger.read() as connection:
        for item in answered(connection, kind.name, most):
            gains.add(item)
    pair = _pair(gains, tiers)
    if pair is None:
        _refuse(f"of {kind.name} no item was answered by two tiers", _EXPLORE, None, as_json)
    learned = gains.of(pair)
    if len(learned.rows) < LEAST:
        known = count(len(learned.rows), "item")
        why = (
            f"of {known} it is known whether {pair[0]} and {pair[1]} are right, {LEAST} are needed"
        )
        _refuse(why, _takes(learned), learned, as_json)
    trial = tried(learned.rows)
    if trial is None:
        why = f"{pair[1]} is right no more often than {pair[0]}: there is nothing to gain"
        _refuse(why, f"the work may stay with {pair[0]}", learned, as_json)
    if not trial.better_than_chance:
        why = (
            f"on items it did not see it does no better than chance: {trial.apgr:.3f}, between"
            f" {trial.low:.3f} and {trial.high:.3f}, of which chance reaches 0.5"
        )
        _refuse(why, f"more items may show more; {_takes(learned)}", learned, as_json)
    content = train(learned.rows, TierPair(*pair, argument))
    try:
        Path(out).write_bytes(content)
    except OSError as error:
        raise Misconfigured(f"{out} cannot be written: {error.strerror}") from None
    _print(kind.name, out, content, learned, trial, as_json)


def _pair(gains: Gains, tiers: tuple[Tier | None, Tier | None]) -> Pair | None:
    """The pair that is asked for, else the one with the most items."""
    from tierqueue.router.item import TIERS

    low, high = tiers
    if low is not None and high is not None and TIERS.index(low) >= TIERS.index(high):
        raise InvalidItem(f"--stronger {high} is not above --cheaper {low}")
    fitting = {
        pair: items
        for pair, items in gains.pairs.items()
        if low in (None, pair[0]) and high in (None, pair[1])
    }
    return max(fitting, key=lambda pair: (fitting[pair], pair), default=None)


def _takes(learned: TrainingRows) -> str:
    said = [_EXPLORE]
    if learned.unsaid:
        unsaid = count(learned.unsaid, "item")
        said.append(
            f"of {unsaid} nobody has said what is right: --believe takes {learned.pair[1]}'s answer"
        )
    if learned.apart:
        said.append(
            f"{count(learned.apart, 'item')} that {learned.pair[0]} was refused for are left out:"
            " without second answers to what it was accepted for they would say that it is never"
            " right"
        )
    return ". ".join(said)


def _refuse(why: str, takes: str, learned: TrainingRows | None, as_json: bool) -> NoReturn:
    if as_json:
        rows = 0 if learned is None else len(learned.rows)
        emit({"trained": False, "rows": rows, "why": why, "takes": takes})
    else:
        echo(f"no predictor: {why}. {takes}", err=True)
    raise click.exceptions.Exit(1)


def _print(
    task: str, out: str, content: bytes, learned: TrainingRows, trial: GainTrial, as_json: bool
) -> None:
    digest, (low, high) = sha256(content).hexdigest(), learned.pair
    if as_json:
        emit(
            {
                "trained": True,
                "file": out,
                "sha256": digest,
                "version": f"gain-{digest[:12]}",
                "cheaper": low.value,
                "stronger": high.value,
                "rows": len(learned.rows),
                "believed": learned.believed,
                "left_out": learned.unsaid + learned.apart,
                "simulated": learned.simulated,
                "cheaper_right": round(trial.cheaper, 4),
                "stronger_right": round(trial.stronger, 4),
                "apgr": round(trial.apgr, 4),
                "apgr_low": round(trial.low, 4),
                "apgr_high": round(trial.high, 4),
            }
        )
        return
    paragraph(
        "",
        f"{out}: from {count(len(learned.rows), 'item')} that {low} and {high} answered:"
        f" {low} is right on {trial.cheaper:.1%} of such items, {high} on {trial.stronger:.1%}",
    )
    if learned.believed:
        paragraph("", f"of {learned.believed:,} nobody said what is right: {high} was believed")
    if learned.unsaid or learned.apart:
        paragraph("", f"{learned.unsaid + learned.apart:,} were left out. {_takes(learned)}")
    if learned.simulated:
        paragraph("", f"SIMULATED: {count(learned.simulated, 'item')} had a simulated answer")
    paragraph(
        "",
        f"On items that did not train it, it recovers {trial.apgr:.3f} of the gap over all shares"
        f" of {high}'s calls (APGR), between {trial.low:.3f} and {trial.high:.3f}; chance: 0.5",
    )
    echo(
        "To put it in service, add to the policy and apply that:",
        "",
        f'[tasks."{task}".predictor]',
        f'file = "{Path(out).resolve()}"',
        f'sha256 = "{digest}"',
    )
