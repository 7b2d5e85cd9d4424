"""Rules that the policy puts before every tier: which items they answer, and how."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle.routes import Routed
from tierqueue.ledger.records import Item
from tierqueue.router.item import Below
from tierqueue.router.policy.defaults import RuleTable
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.below import (
    Offer,
    Promise,
    fitted,
    left_alone,
    offered,
    wants_a_model,
)
from tierqueue.tasks.routing.decide import Chosen
from tierqueue.tasks.routing.rules.table import Read, read
from tierqueue.tasks.submission.item_task import ItemTask


@dataclass(frozen=True, slots=True)
class InService:
    """Rules for a task type: as the policy states them, and what they match."""

    stated: RuleTable
    read: Read

    def answer(
        self, kind: ItemTask, arguments: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
        """What they state for a call, and the output that this makes; ``None`` where nothing
        matches, the call is another than theirs, or the task type would refuse it.
        """
        content = arguments.get(self.stated.argument)
        others = {name: arguments[name] for name in arguments if name != self.stated.argument}
        if not isinstance(content, str) or others != self.read.others:
            return None
        matched = self.read.match.answer(content)
        if matched is None:
            return None
        said = json.loads(matched)
        output = fitted(kind, arguments, said)
        return None if output is None else (said, output)


class Rules:
    """The rules of ``policy``; false where it has none.

    Raises ``Misconfigured`` where a table cannot be read or is not the one that is named, where a
    task type could not give an answer, where two rows are for one text, and where this process does
    not know a task type; it says where.
    """

    def __init__(self, policy: Policy) -> None:
        self._by_task: dict[str, InService] = {}
        for task, usual in policy.tasks.items():
            if usual.rules is not None:
                self._by_task[task] = InService(usual.rules, read(task, usual.rules))

    def __bool__(self) -> bool:
        return bool(self._by_task)

    @property
    def tasks(self) -> Collection[str]:
        """Task types with rules."""
        return self._by_task.keys()

    @property
    def promises(self) -> dict[str, Promise]:
        """What the rules of each task type are held to, by their version."""
        return {
            one.stated.version: Promise(Below.RULE, task, 1 - one.stated.agreement)
            for task, one in self._by_task.items()
        }

    def serve(
        self,
        chosen: Chosen,
        arguments: Mapping[str, Mapping[str, Any]],
        off: Collection[str],
        paused: Sequence[Pause],
    ) -> Chosen:
        """``chosen``, with what is answered here instead of routed, and what is to be audited."""

        def offer(item: Item, route: Routed) -> Offer | None:
            rules = self._by_task.get(item.task)
            if rules is None or rules.stated.version in off:
                return None
            if wants_a_model(item, route.floor) or left_alone(item, route, paused):
                return None
            return _offer(rules, item, arguments.get(item.id))

        return offered(chosen, offer)


def _offer(rules: InService, item: Item, arguments: Mapping[str, Any] | None) -> Offer | None:
    """What they answer; ``None`` where they may not, or have no answer."""
    stated, kind = rules.stated, ItemTask.declared.get(item.task)
    found = None if kind is None or arguments is None else rules.answer(kind, arguments)
    if found is None:
        return None
    said, output = found
    what = "its table has this text" if stated.file else "its words stand in this text"
    why = f"a rule answered, {stated.name} ({stated.version}): {what}"
    return Offer(Below.RULE, stated.version, stated.audit, said, output, why, {"rule": stated.name})
