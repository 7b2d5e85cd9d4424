"""Predictors that the policy names: how likely each of two tiers is right, for items of a batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidArtefact, Misconfigured
from tierqueue.router.learned.gain import Gain, Traits
from tierqueue.router.learned.surrogate import surroundings
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.defaults import DEFAULT_BUDGET
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.policy_errors import dotted, there_is_no
from tierqueue.router.signals import Prediction
from tierqueue.tasks.submission.item_task import ItemTask


@dataclass(frozen=True, slots=True)
class _Predictor:
    """A predictor in service for a task type, and what a wrong answer of that costs."""

    gain: Gain
    mistake: NanoUSD | None


class Predictors:
    """The predictors of ``policy``; false where it has none.

    Raises ``Misconfigured`` where a file cannot be read, is not the one that is named, or was not
    trained for the task type.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._by_task: dict[str, _Predictor] = {}
        held: dict[tuple[str, str], Gain] = {}
        for task, usual in policy.tasks.items():
            if (rule := usual.predictor) is None:
                continue
            named = (policy.place_of(rule.file), rule.sha256)
            if named not in held:
                held[named] = _load(task, *named)
            gain = held[named]
            if task not in gain.tasks:
                why = there_is_no("task type that it was trained for", task, gain.tasks)
                message = f"{dotted('tasks', task, 'predictor')}: {rule.file}: {why}"
                raise Misconfigured(message, {"task": task})
            self._by_task[task] = _Predictor(gain, rule.mistake)

    def __bool__(self) -> bool:
        return bool(self._by_task)

    def wants(self, task: str) -> bool:
        """Whether the arguments of such items are to be read."""
        return task in self._by_task

    def predict(
        self, called: Iterable[tuple[str, str, Mapping[str, Any], str | None]]
    ) -> dict[str, Prediction]:
        """What is predicted of items, by their ids; each comes with its task type, its arguments
        and who pays.

        Of one whose text is no text as yet (an earlier item's answer) nothing is.
        """
        texts: dict[str, dict[str, tuple[str, Traits]]] = {}
        for key, task, arguments, budget in called:
            asked = self._by_task.get(task)
            content = None if asked is None else arguments.get(asked.gain.argument)
            if isinstance(content, str):
                texts.setdefault(task, {})[key] = content, self._traits(task, arguments, budget)
        found: dict[str, Prediction] = {}
        for task, contents in texts.items():
            asked = self._by_task[task]
            prompts, traits = zip(*contents.values(), strict=True)
            said = asked.gain.predicted(task, prompts, asked.mistake, traits)
            found.update(zip(contents, said, strict=True))
        return found

    def of(self, task: str, arguments: Mapping[str, Any], budget: str | None) -> Prediction | None:
        """What is predicted of one call."""
        return self.predict([("", task, arguments, budget)]).get("")

    def _traits(self, task: str, arguments: Mapping[str, Any], budget: str | None) -> Traits:
        """Who pays, as the policy makes it of what the item says, and its template."""
        usual = self._policy.tasks.get(task)
        stated = (None if usual is None else usual.budget) or DEFAULT_BUDGET
        kind = ItemTask.declared.get(task)
        argument = self._by_task[task].gain.argument
        version = "" if kind is None else kind.prompt_version
        return Traits(budget or stated, surroundings(arguments, argument, version))


def _load(task: str, file: str, digest: str) -> Gain:
    where = dotted("tasks", task, "predictor")
    try:
        return Gain.load(Path(file).read_bytes(), digest)
    except OSError as error:
        message = f"{where}: {file} cannot be read: {error.strerror or type(error).__name__}"
        raise Misconfigured(message, {"task": task}) from None
    except InvalidArtefact as error:
        raise Misconfigured(f"{where}: {file}: {error.message}", {"task": task}) from None
