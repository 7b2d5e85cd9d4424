"""For the tests of a team: its task types run here against scripted or recorded answers.

Nothing else is needed: no broker, no ledger, no policy, no model.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from celery import states
from celery.backends.base import DisabledBackend

from tierqueue.ledger.lifecycle.items import new_id
from tierqueue.ledger.results.promises import Ending, Promise
from tierqueue.router.errors import BY_REASON, DeadLettered, InvalidItem
from tierqueue.router.lifecycle import State
from tierqueue.router.outcome import Accepted, Completed, Usage
from tierqueue.tasks.results import fulfil
from tierqueue.tasks.results.async_answer import Answer, ItemResult
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.tasks.submission.prompt import Prompt
from tierqueue.tasks.submission.validation import validate

_CANVAS = ("link", "link_error", "chain", "chord", "group_id")


@dataclass(frozen=True, slots=True)
class Call:
    """One question to the model that the answers stand in for; ``attempt`` counts from 1."""

    task: str
    arguments: Mapping[str, Any]
    prompt: Prompt
    attempt: int


Say = Callable[[Call], Any]
"""What is answered to a call: text, or a value that is its JSON. A ``DeadLettered`` error ends the
item, so that ``.get()`` raises it; any other exception is raised by the call itself."""


@dataclass(slots=True)
class Calls:
    """What was asked while answers stood in, in order."""

    asked: list[Call] = field(default_factory=list)


@contextmanager
def answering(say: Say | Mapping[str, Sequence[Any]], *, attempts: int = 2) -> Iterator[Calls]:
    """Within this, every item is answered at once by ``say``, as a worker would take its answers.

    ``say`` is a function of the call, or a script: by a task's name the answers in order. An answer
    that the task type refuses is asked for again, ``attempts`` times in all, as an escalation does;
    then ``.get()`` raises what it would raise. Receipts say ``simulated``. Raises ``InvalidItem``
    for a script that has no more answers, and for links and canvases, which need a broker.
    """
    calls = Calls()
    speak = say if callable(say) else _scripted(say)

    def apply_async(
        task: ItemTask,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> ItemResult[Any]:
        if refused := sorted(name for name in _CANVAS if options.get(name)):
            raise InvalidItem(f"{task.name}: {', '.join(refused)} needs a broker, and here is none")
        item_id = task_id or new_id()
        arguments = task.checked_arguments(args or (), kwargs or {})
        ending = _ending(task, arguments, item_id, speak, calls, attempts)
        result = _ReadyResult(item_id, backend=DisabledBackend(task.app), app=task.app)
        result.model = task.answer_model
        result.ending = ending
        return result

    with patch.object(ItemTask, "apply_async", apply_async):
        yield calls


def recorded(path: Path) -> Say:
    """Answers by what was asked, of a file of JSON lines with ``task``, ``arguments``, ``answer``.

    ``arguments`` may leave out those that have their defaults. Raises ``InvalidItem`` for a line
    that is none, and at a call for what was not recorded.
    """
    found: dict[str, list[Any]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
            task = ItemTask.declared[said["task"]]
            key = _key(task.name, task.checked_arguments((), said["arguments"]))
            found.setdefault(key, []).append(said["answer"])
        except (ValueError, KeyError, TypeError, InvalidItem) as error:
            why = f"{type(error).__name__}: {error}"
            raise InvalidItem(f"{path}, line {number} is no recorded answer: {why}") from None

    def answer(call: Call) -> Any:
        answers = found.get(_key(call.task, call.arguments))
        if answers is None:
            raise InvalidItem(
                f"{path} has no answer to {call.task} with {json.dumps(dict(call.arguments))}"
            )
        return answers[min(call.attempt, len(answers)) - 1]

    return answer


class _ReadyResult(ItemResult[Any]):
    """A result that is there: nobody is asked for it."""

    ending: Ending

    def _get_task_meta(self) -> Any:
        state, result = fulfil.celery_result(self.ending)
        promise = Promise(id=self.id, item_id=self.id, task="", root_id=self.id)
        meta = fulfil.stored(promise, state, result, "")
        return {**meta, "result": result}

    def get(self, *_: Any, **__: Any) -> Answer[Any]:
        """The answer, or what ended the item is raised."""
        state, result = fulfil.celery_result(self.ending)
        if state != states.SUCCESS:
            raise result
        return Answer(result, self.model)

    async def aget(self, *_: Any, **__: Any) -> Answer[Any]:
        """As ``get``."""
        return self.get()


def _scripted(script: Mapping[str, Sequence[Any]]) -> Say:
    if unknown := sorted(script.keys() - ItemTask.declared.keys()):
        raise InvalidItem(f"{unknown[0]} is no task type: {', '.join(sorted(ItemTask.declared))}")
    left = {name: list(answers) for name, answers in script.items()}

    def answer(call: Call) -> Any:
        if not left.get(call.task):
            raise InvalidItem(f"the script has no more answers for {call.task}")
        return left[call.task].pop(0)

    return answer


def _ending(
    task: ItemTask,
    arguments: Mapping[str, Any],
    item_id: str,
    say: Say,
    calls: Calls,
    attempts: int,
) -> Ending:
    error: dict[str, Any] = {}
    for attempt in range(1, attempts + 1):
        call = Call(task.name, arguments, task.prompt(arguments), attempt)
        calls.asked.append(call)
        said = say(call)
        if isinstance(said, DeadLettered):
            error = {"reason": said.reason, "message": said.message, "fields": said.fields}
            break
        if isinstance(said, BaseException):
            raise said
        text = said if isinstance(said, str) else json.dumps(said)
        judged = validate(task, arguments, Completed(text=text, usage=Usage(), model_served="test"))
        if isinstance(judged, Accepted):
            answer = {"output": judged.output, "receipt": _receipt(task, item_id, attempt)}
            return Ending(item_id=item_id, state=State.SUCCEEDED, answer=answer, error=None)
        reason = judged.reason if judged.reason in BY_REASON else "rejected"
        message = f"item {item_id}: {'; '.join(judged.reasons)}"
        fields = {"item": item_id, "task": task.name, "reasons": list(judged.reasons)}
        error = {"reason": reason, "message": message, "fields": fields}
    return Ending(item_id=item_id, state=State.DEAD, answer=None, error=error)


def _receipt(task: ItemTask, item_id: str, attempts: int) -> dict[str, Any]:
    return {
        "item": item_id,
        "task": task.name,
        "tier": "test",
        "deployment": "test",
        "model_asked": "test",
        "model_served": "test",
        "other_model": False,
        "attempts": attempts,
        "tokens": {"input": 0, "output": 0, "estimated": True},
        "cost": "$0.00",
        "cost_nanousd": 0,
        "seconds": 0.0,
        "confidence": None,
        "why": [],
        "prompt_version": task.prompt_version,
        "sensitivity": "regulated",
        "degraded_from": None,
        "stands_in_for": None,
        "simulated": True,
    }


def _key(task: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps([task, arguments], sort_keys=True)
