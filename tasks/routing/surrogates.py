"""Surrogates that the policy puts before the cheapest tier: which items they answer, and how."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidArtefact, Misconfigured
from tierqueue.router.item import Below
from tierqueue.router.learned.surrogate import Surrogate, surroundings
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.policy_errors import dotted
from tierqueue.tasks.routing.below import Offer, Promise, Versions, fitted
from tierqueue.tasks.submission.item_task import ItemTask


@dataclass(frozen=True, slots=True)
class Served:
    """A surrogate in service for a task type, and the share of its items that is audited."""

    surrogate: Surrogate
    audit: float

    @property
    def version(self) -> str:
        """The surrogate's own."""
        return self.surrogate.version

    @property
    def promise(self) -> Promise:
        """What it was certified for."""
        return Promise(Below.SURROGATE, self.surrogate.task, self.surrogate.promise.alpha)

    def offer(self, arguments: Mapping[str, Any]) -> Offer | None:
        """What it says to a call; ``None`` where it defers."""
        surrogate, kind = self.surrogate, ItemTask.declared.get(self.surrogate.task)
        if kind is None:
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
        return Offer(Below.SURROGATE, surrogate.version, self.audit, stated, output, why, says)

    def why_none(self, arguments: Mapping[str, Any]) -> str:
        """Why it has no answer to a call, in words."""
        surrogate, kind = self.surrogate, ItemTask.declared[self.surrogate.task]
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


class Surrogates(Versions):
    """The surrogates of ``policy``; false where it has none.

    Raises ``Misconfigured`` where a file cannot be read, is not the one that is named, or is for
    another task type.
    """

    def __init__(self, policy: Policy) -> None:
        stated = {task: usual.surrogate for task, usual in policy.tasks.items() if usual.surrogate}
        self._served = {
            task: Served(_load(task, policy.place_of(one.file), one.sha256), one.audit)
            for task, one in stated.items()
        }
        super().__init__(self._served)

    def why_none(self, task: str, arguments: Mapping[str, Any]) -> str:
        """Why the one of a task type has no answer to a call, in words."""
        return self._served[task].why_none(arguments)


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
