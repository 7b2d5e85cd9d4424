"""Rules that the policy puts before every tier: which items they answer, and how."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.ledger.lifecycle.routes import Routed
from tierqueue.ledger.records import Item
from tierqueue.router.item import Below
from tierqueue.router.policy.defaults import RuleTable
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.below import (
    Offer,
    Promise,
    fitted,
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

    def why_none(self, arguments: Mapping[str, Any]) -> str:
        """Why they have no answer to a call, in words."""
        name = self.stated.argument
        others = {other: arguments[other] for other in arguments if other != name}
        if others != self.read.others:
            apart = [
                other
                for other in sorted({*others, *self.read.others})
                if others.get(other) != self.read.others.get(other)
            ]
            return f"they are for calls with other {', '.join(apart)}"
        if not isinstance(content := arguments.get(name), str):
            return f"its {name} is no text as yet"
        if self.read.match.answer(content) is None:
            return f"nothing of theirs {'is' if self.stated.file else 'stands in'} its {name}"
        return "the task type would refuse what they say"

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


def in_service(policy: Policy, task: str) -> InService | None:
    """The rules of a task type; ``None`` where it has none. Raises as ``Rules`` does."""
    usual = policy.tasks.get(task)
    if usual is None or (stated := usual.rules) is None:
        return None
    if stated.file is not None:
        stated = stated.model_copy(update={"file": policy.place_of(stated.file)})
    return InService(stated, read(task, stated))


class Rules:
    """The rules of ``policy``; false where it has none.

    Raises ``Misconfigured`` where a table cannot be read or is not the one that is named, where a
    task type could not give an answer, where two rows are for one text, and where this process does
    not know a task type; it says where.
    """

    def __init__(self, policy: Policy) -> None:
        self._by_task: dict[str, InService] = {}
        for task in policy.tasks:
            if (rules := in_service(policy, task)) is not None:
                self._by_task[task] = rules

    def __bool__(self) -> bool:
        return bool(self._by_task)

    def of(self, task: str) -> InService | None:
        """Those of a task type."""
        return self._by_task.get(task)

    def offer(
        self,
        item: Item | NewItem,
        floor: str | None,
        arguments: Mapping[str, Any] | None,
        off: Collection[str],
    ) -> Offer | None:
        """What they say to an item whose floor is ``floor``; ``None`` where they may not answer, or
        have no answer.
        """
        rules = self._by_task.get(item.task)
        if rules is None or rules.stated.version in off or wants_a_model(item, floor):
            return None
        return _offer(rules, item.task, arguments)

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
            return self.offer(item, route.floor, arguments.get(item.id), off)

        return offered(chosen, offer, paused)


def _offer(rules: InService, task: str, arguments: Mapping[str, Any] | None) -> Offer | None:
    """What they answer; ``None`` where they have no answer."""
    stated, kind = rules.stated, ItemTask.declared.get(task)
    found = None if kind is None or arguments is None else rules.answer(kind, arguments)
    if found is None:
        return None
    said, output = found
    what = "its table has this text" if stated.file else "its words stand in this text"
    why = f"a rule answered, {stated.name} ({stated.version}): {what}"
    return Offer(Below.RULE, stated.version, stated.audit, said, output, why, {"rule": stated.name})
