"""Rules that the policy puts before every tier: which items they answer, and how."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierqueue.router.item import BelowTier
from tierqueue.router.policy.defaults import RuleTable
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.below import AuditTerms, Offer, Versions, fitted
from tierqueue.tasks.routing.rules.table import RuleSet, read
from tierqueue.tasks.submission.item_task import ItemTask


@dataclass(frozen=True, slots=True)
class RulesInService:
    """Rules for a task type: as the policy states them, and what they match."""

    task: str
    stated: RuleTable
    read: RuleSet

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

    @property
    def version(self) -> str:
        """That of what the policy states."""
        return self.stated.version

    @property
    def promise(self) -> AuditTerms:
        """The agreement that the policy states."""
        return AuditTerms(BelowTier.RULE, self.task, 1 - self.stated.agreement)

    def offer(self, arguments: Mapping[str, Any]) -> Offer | None:
        """What they say to a call; ``None`` where they have no answer."""
        stated, kind = self.stated, ItemTask.declared.get(self.task)
        found = None if kind is None else self.answer(kind, arguments)
        if found is None:
            return None
        said, output = found
        what = "its table has this text" if stated.file else "its words stand in this text"
        why = f"a rule answered, {stated.name} ({stated.version}): {what}"
        says = {"rule": stated.name}
        return Offer(BelowTier.RULE, stated.version, stated.audit, said, output, why, says)


def in_service(policy: Policy, task: str) -> RulesInService | None:
    """The rules of a task type; ``None`` where it has none. Raises as ``Rules`` does."""
    usual = policy.tasks.get(task)
    if usual is None or (stated := usual.rules) is None:
        return None
    if stated.file is not None:
        stated = stated.model_copy(update={"file": policy.place_of(stated.file)})
    return RulesInService(task, stated, read(task, stated))


class Rules(Versions):
    """The rules of ``policy``; false where it has none.

    Raises ``Misconfigured`` where a table cannot be read or is not the one that is named, where a
    task type could not give an answer, where two rows are for one text, and where this process does
    not know a task type; it says where.
    """

    def __init__(self, policy: Policy) -> None:
        found = {task: in_service(policy, task) for task in policy.tasks}
        super().__init__({task: rules for task, rules in found.items() if rules is not None})
