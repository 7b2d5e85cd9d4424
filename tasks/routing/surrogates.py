"""Surrogates that the policy puts before the cheapest tier: which items they answer, and how."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.surrogates import Audit, Record
from tierqueue.ledger.lifecycle.answers import Answered
from tierqueue.ledger.lifecycle.routes import Routed
from tierqueue.ledger.records import Item
from tierqueue.router.errors import InvalidArtefact, Misconfigured
from tierqueue.router.item import Below, Tier
from tierqueue.router.learned.certify import tail
from tierqueue.router.learned.surrogate import Guess, Surrogate, surroundings
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.below import drawn, form_of, left_alone, receipt_of
from tierqueue.tasks.routing.decide import Chosen, own_of
from tierqueue.tasks.submission.item_task import ItemTask

CHANCE = 0.001
"""A surrogate is switched off where its audits would be as bad by so small a chance at most, were
its promise kept."""


@dataclass(frozen=True, slots=True)
class Served:
    """A surrogate in service for a task type, and the share of its items that is audited."""

    surrogate: Surrogate
    audit: float


class Surrogates:
    """The surrogates of ``policy``; false where it has none.

    Raises ``Misconfigured`` where a file cannot be read, is not the one that is named, or is for
    another task type.
    """

    def __init__(self, policy: Policy) -> None:
        self._by_task: dict[str, Served] = {}
        for task, usual in policy.tasks.items():
            if usual.surrogate is not None:
                stated = usual.surrogate
                self._by_task[task] = Served(_load(task, stated.file, stated.sha256), stated.audit)

    def __bool__(self) -> bool:
        return bool(self._by_task)

    @property
    def tasks(self) -> Collection[str]:
        """Task types with a surrogate."""
        return self._by_task.keys()

    @property
    def versions(self) -> dict[str, Surrogate]:
        """Every surrogate by its version."""
        return {one.surrogate.version: one.surrogate for one in self._by_task.values()}

    def serve(
        self,
        chosen: Chosen,
        arguments: Mapping[str, Mapping[str, Any]],
        off: Collection[str],
        paused: Sequence[Pause],
    ) -> Chosen:
        """``chosen``, with what is answered here instead of routed, and what is to be audited.

        Only items that have a route are answered: walls come first.
        """
        items = {item.id: item for item in chosen.items}
        routed: list[Routed] = []
        answered = list(chosen.answered)
        audits: list[Audit] = []
        for route in chosen.routed:
            item, served = items[route.id], self._by_task.get(items[route.id].task)
            guess = None
            if served is not None and served.surrogate.version not in off:
                guess = _guess(served.surrogate, item, route, arguments.get(item.id), paused)
            if served is None or guess is None:
                routed.append(route)
            elif drawn(version := served.surrogate.version, item.id, served.audit):
                routed.append(route)
                audits.append(Audit(item.id, item.task, version, named(guess.label)))
            else:
                answered.append(_answered(served, item, route, guess))
        return replace(chosen, routed=routed, answered=answered, audits=audits)


def named(label: str) -> str:
    """A label as audits keep it."""
    return hashlib.sha256(label.encode()).hexdigest()


def label_of(output: Any) -> str | None:
    """The label of an item's output as audits keep it; ``None`` where it has none."""
    label = output.get("label") if isinstance(output, Mapping) else None
    return named(label) if isinstance(label, str) else None


def breaks_its_promise(surrogate: Surrogate, record: Record) -> bool:
    """Whether the audits say that more of its answers differ than was certified."""
    agreed = record.compared - record.differed
    return tail(agreed, record.compared, 1 - surrogate.promise.alpha) < CHANCE


def _load(task: str, file: str, digest: str) -> Surrogate:
    where = f"tasks.{task}.surrogate"
    try:
        surrogate = Surrogate.load(Path(file).read_bytes(), digest)
    except OSError as error:
        message = f"{where}: {file} cannot be read: {error.strerror or type(error).__name__}"
        raise Misconfigured(message, {"task": task}) from None
    except InvalidArtefact as error:
        raise Misconfigured(f"{where}: {file}: {error.message}", {"task": task}) from None
    if surrogate.task != task:
        message = f"{where}: {file} is a surrogate for {surrogate.task}, not for {task}"
        raise Misconfigured(message, {"task": task})
    return surrogate


def _guess(
    surrogate: Surrogate,
    item: Item,
    route: Routed,
    arguments: Mapping[str, Any] | None,
    paused: Sequence[Pause],
) -> Guess | None:
    """What it answers; ``None`` where it may not, or defers."""
    kind = ItemTask.declared.get(item.task)
    if kind is None or arguments is None:
        return None
    if _forbidden(item, route) or left_alone(item, route, paused):
        return None
    content = arguments.get(surrogate.argument)
    here = surroundings(arguments, surrogate.argument, kind.prompt_version)
    if not isinstance(content, str) or here != surrogate.surroundings:
        return None
    guess = surrogate.answer(content)
    if guess is None:
        return None
    return guess if _fits(form_of(kind, arguments), guess.label) else None


def _fits(model: Any, label: str) -> bool:
    try:
        model.model_validate({"label": label})
    except (AttributeError, ValueError):
        return False
    return True


def _forbidden(item: Item, route: Routed) -> bool:
    """A floor that somebody stated, a confidence that is asked for, or an image."""
    floor = "floor" in own_of(item) or route.floor != Tier.GPU
    return floor or item.min_confidence is not None or bool(item.images)


def _answered(served: Served, item: Item, route: Routed, guess: Guess) -> Answered:
    surrogate = served.surrogate
    output: dict[str, Any] = {"label": guess.label}
    kind = ItemTask.declared[item.task]
    if kind.answer_model is not None and "confidence" in kind.answer_model.model_fields:
        output["confidence"] = None
    agreement = 1 - surrogate.promise.alpha
    why = (
        f"a surrogate answered: certified to agree with the model on {agreement:.1%} of what it"
        f" answers, with a margin of {guess.margin:.3f} where {surrogate.bounds.margin:.3f} is"
        " needed"
    )
    receipt = {
        **receipt_of(item, route, kind, [why]),
        "tier": Below.SURROGATE.value,
        "deployment": surrogate.version,
        "model_asked": surrogate.version,
        "model_served": surrogate.version,
        "other_model": False,
        "confidence": None,
        "simulated": False,
        "margin": round(guess.margin, 6),
    }
    return Answered(Below.SURROGATE, route, output, receipt)
