"""Surrogates that the policy puts before the cheapest tier: which items they answer, and how."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.ledger.lifecycle.routes import Routed
from tierqueue.ledger.records import Item
from tierqueue.router.errors import InvalidArtefact, Misconfigured
from tierqueue.router.item import Below
from tierqueue.router.learned.surrogate import Surrogate, surroundings
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.policy_errors import dotted
from tierqueue.tasks.routing.below import (
    Offer,
    Promise,
    fitted,
    offered,
    wants_a_model,
)
from tierqueue.tasks.routing.decide import Chosen
from tierqueue.tasks.submission.item_task import ItemTask


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
                place = policy.place_of(stated.file)
                self._by_task[task] = Served(_load(task, place, stated.sha256), stated.audit)

    def __bool__(self) -> bool:
        return bool(self._by_task)

    def offer(
        self,
        item: Item | NewItem,
        floor: str | None,
        arguments: Mapping[str, Any] | None,
        off: Collection[str],
    ) -> Offer | None:
        """What one says to an item whose floor is ``floor``; ``None`` where it may not answer, or
        defers.
        """
        served = self._by_task.get(item.task)
        if served is None or served.surrogate.version in off or wants_a_model(item, floor):
            return None
        return _offer(served, item.task, arguments)

    def why_none(self, task: str, arguments: Mapping[str, Any]) -> str:
        """Why the one of a task type has no answer to a call, in words."""
        surrogate, kind = self._by_task[task].surrogate, ItemTask.declared[task]
        name = surrogate.argument
        if not isinstance(content := arguments.get(name), str):
            return f"its {name} is no text as yet"
        if surroundings(arguments, name, kind.prompt_version) != surrogate.surroundings:
            return f"it learned calls in which more than the {name} is another, or another prompt"
        guess = surrogate.linear.guess(content)
        if not surrogate.bounds.familiar(guess):
            return f"the {name} is unlike what it learned"
        if not surrogate.bounds.hold(guess):
            return (
                f"its margin is {guess.margin:.3f} where {surrogate.bounds.margin:.3f} is certified"
            )
        return "the task type would refuse what it says"

    @property
    def tasks(self) -> Collection[str]:
        """Task types with a surrogate."""
        return self._by_task.keys()

    @property
    def promises(self) -> dict[str, Promise]:
        """What each is held to, by its version."""
        found = [one.surrogate for one in self._by_task.values()]
        return {one.version: Promise(Below.SURROGATE, one.task, one.promise.alpha) for one in found}

    def serve(
        self,
        chosen: Chosen,
        arguments: Mapping[str, Mapping[str, Any]],
        off: Collection[str],
        paused: Sequence[Pause],
    ) -> Chosen:
        """``chosen``, with what is answered here instead of routed, and what is to be audited."""

        def offer(item: Item, route: Routed) -> Offer | None:
            return self.offer(item, route.floor, arguments.get(item.id), off)

        return offered(chosen, offer, paused)


def _load(task: str, file: str, digest: str) -> Surrogate:
    where = dotted("tasks", task, "surrogate")
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


def _offer(served: Served, task: str, arguments: Mapping[str, Any] | None) -> Offer | None:
    """What it answers; ``None`` where it defers."""
    surrogate, kind = served.surrogate, ItemTask.declared.get(task)
    if kind is None or arguments is None:
        return None
    content = arguments.get(surrogate.argument)
    here = surroundings(arguments, surrogate.argument, kind.prompt_version)
    if not isinstance(content, str) or here != surrogate.surroundings:
        return None
    guess = surrogate.answer(content)
    if guess is None:
        return None
    stated = {"label": guess.label}
    output = fitted(kind, arguments, stated)
    if output is None:
        return None
    agreement = 1 - surrogate.promise.alpha
    why = (
        f"a surrogate answered: certified to agree with the model on {agreement:.1%} of what it"
        f" answers, with a margin of {guess.margin:.3f} where {surrogate.bounds.margin:.3f} is"
        " needed"
    )
    says = {"margin": round(guess.margin, 6)}
    return Offer(Below.SURROGATE, surrogate.version, served.audit, stated, output, why, says)
