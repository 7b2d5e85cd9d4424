"""Task types that a policy names and this process does not know."""

from collections.abc import Iterator

from tierqueue.router.errors import Misconfigured
from tierqueue.router.policy.policy import Policy
from tierqueue.router.policy.policy_errors import dotted, nth, there_is_no
from tierqueue.tasks.submission.item_task import ItemTask

_FOR_SOME = ("prompt", "explore", "shadow")
"""Tables that are in nobody's way where they are for a task type that is not there."""


def not_declared(task: str) -> str:
    """That there is no such task type, the nearest, and what to do."""
    wrong = there_is_no("task type", task, ItemTask.declared).removesuffix("?")
    hint = "?" if "did you mean" in wrong else "."
    return f"{wrong}{hint} TIERQUEUE_IMPORTS names the modules of your own"


def be_declared(policy: Policy) -> None:
    """Raises ``Misconfigured`` where a prompt, explorations or a shadow are for a task type that is
    not declared: no item would ever have them.
    """
    for task, usual in policy.tasks.items():
        stated = [name for name in _FOR_SOME if getattr(usual, name) is not None]
        if stated and task not in ItemTask.declared:
            message = f"{dotted('tasks', task, stated[0])}: {not_declared(task)}"
            raise Misconfigured(message, {"task": task})


def undeclared(policy: Policy) -> Iterator[str]:
    """A sentence for each table and floor of ``policy`` for a task type that is not declared."""
    named = [(dotted("tasks", task), task) for task in policy.tasks]
    named += [
        (f"task of the {nth(number)} [[floors]]", rule.task)
        for number, rule in enumerate(policy.floors)
        if rule.task is not None
    ]
    for where, task in named:
        if task not in ItemTask.declared:
            what = "It holds for items of this very name alone: correct it, or have that imported"
            yield f"{where}: {not_declared(task)}. {what}"
