"""Answers that answer again: an item that asks what another asked gets what was accepted for it."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.reusable_answers import FormerItem, ReuseKey
from tierqueue.ledger.in_force.surrogates import Audit
from tierqueue.ledger.lifecycle.deaths import AnswerWithoutCall
from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.ledger.lifecycle.routes import RoutedItem
from tierqueue.ledger.records import Item
from tierqueue.router.item import TIERS, BelowTier, Demands, Tier
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.below import form_of, held_back, receipt_of
from tierqueue.tasks.routing.decide import Decisions
from tierqueue.tasks.submission import fingerprint
from tierqueue.tasks.submission.item_task import ItemTask

_NO_WALLS = frozenset({"more_expensive", "unavailable", "fallback", "deadline", "max_cost"})
"""Rules that say who is called now, and nothing of whose answer would do."""

_DEMANDS = ("risk", "sensitivity", "floor", "budget")
"""Demands, as the policy made them, with another of which an answer is not taken."""


@dataclass(frozen=True, slots=True)
class ReuseQuestion:
    """What an item asks: the ``key`` of it, and the form that its answer must fit."""

    key: str
    arguments: Mapping[str, Any]
    form: type[BaseModel] | None


class Reuse:
    """The task types of ``policy`` whose answers may be reused; false where it has none."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        stated = {task: usual.reuse for task, usual in policy.tasks.items()}
        self._lives = {task: life for task, life in stated.items() if life is not None}

    def __bool__(self) -> bool:
        return bool(self._lives)

    @property
    def tasks(self) -> Collection[str]:
        """Task types whose answers may be reused."""
        return self._lives.keys()

    def asking(
        self, chosen: Decisions, arguments: Mapping[str, Mapping[str, Any]], paused: Sequence[Pause]
    ) -> dict[str, ReuseQuestion]:
        """What is asked by items that another one's answer might do for, by item.

        Only items that have a route are among them: walls come first. One that is to be audited
        goes to a model, and so does one under another prompt, of which it is written down.
        """
        items = {item.id: item for item in chosen.items}
        audited = {audit.item_id for audit in chosen.audits}
        found = (
            (route.id, self._asking(items[route.id], route, arguments, paused))
            for route in chosen.routed
            if route.id not in audited
        )
        return {item_id: asks for item_id, asks in found if asks is not None}

    def serve(
        self,
        chosen: Decisions,
        asking: Mapping[str, ReuseQuestion],
        former: Mapping[str, FormerItem],
        now: int,
    ) -> Decisions:
        """``chosen``, with what earlier answers end instead of a call, and what is asked now.

        ``former``: who was asked the same before, by key; ``now`` in epoch microseconds. One that
        is still under way is not waited for.
        """
        items = {item.id: item for item in chosen.items}
        routed: list[RoutedItem] = []
        answered: list[AnswerWithoutCall] = []
        asked: dict[str, ReuseKey] = {}
        audits = list(chosen.audits)
        for route in chosen.routed:
            asks = asking.get(route.id)
            there = None if asks is None else former.get(asks.key)
            if asks is None:
                routed.append(route)
            elif self._serves(there, items[route.id].task, route, asks, now):
                assert there is not None
                if route.prompt is None:
                    answered.append(_answered(items[route.id], route, there, now))
                    continue
                # Asked under another prompt: that it would have been answered is all to be known.
                routed.append(route)
                audits.append(Audit(route.id, items[route.id].task, BelowTier.REUSED.value, None))
            else:
                routed.append(route)
                if route.prompt is not None:
                    continue
                if there is None or not there.open:
                    asked.setdefault(asks.key, ReuseKey(asks.key, route.id))
        return replace(
            chosen,
            routed=routed,
            answered=[*chosen.answered, *answered],
            asked=list(asked.values()),
            audits=audits,
        )

    def _asking(
        self,
        item: Item,
        route: RoutedItem,
        arguments: Mapping[str, Mapping[str, Any]],
        paused: Sequence[Pause],
    ) -> ReuseQuestion | None:
        if item.task not in self._lives or held_back(item, route, paused):
            return None
        return self.asking_of(item, arguments.get(item.id), route)

    def asking_of(
        self, item: Item | NewItem, called: Mapping[str, Any] | None, demands: RoutedItem | Demands
    ) -> ReuseQuestion | None:
        """What an item asks; ``None`` where nobody else's answer may do for it."""
        kind = ItemTask.declared.get(item.task)
        if item.task not in self._lives or kind is None or called is None or item.fresh:
            return None
        form = form_of(kind, called)
        if isinstance(form, Exception):
            return None
        stated = {name: getattr(demands, name) for name in _DEMANDS}
        stated["output_limit"] = item.output_limit
        return ReuseQuestion(fingerprint.of_answer(kind, called, form, stated), called, form)

    def lives(self, task: str, ended_at: int, now: int) -> bool:
        """Whether an answer that was given then (epoch microseconds) is young enough."""
        return ended_at >= now - self._lives[task]

    def _serves(
        self, there: FormerItem | None, task: str, route: RoutedItem, asks: ReuseQuestion, now: int
    ) -> bool:
        refusals = route.route.get("refusals", ())
        return self.does(there, task, asks, route.floor, refusals, now)

    def does(
        self,
        there: FormerItem | None,
        task: str,
        asks: ReuseQuestion,
        floor: str | None,
        refusals: Sequence[Mapping[str, str]],
        now: int,
    ) -> bool:
        """Whether the former answer still stands, passes every wall of today and fits. ``floor``
        and ``refusals`` are the item's own, as it would be routed.
        """
        return (
            there is not None
            and there.stands
            and self.lives(task, there.ended_at, now)
            and self._passes(there.receipt, floor, refusals)
            and _fits(ItemTask.declared[task], asks, there.output)
        )

    def _passes(
        self,
        receipt: Mapping[str, Any],
        floor: str | None,
        refusals: Sequence[Mapping[str, str]],
    ) -> bool:
        """Whether who gave the answer might give it today: the same model, within every wall."""
        deployment = self._policy.deployments.get(str(receipt.get("deployment")))
        if deployment is None or receipt.get("tier") != deployment.tier:
            return False
        if receipt.get("model_asked") != deployment.model or receipt.get("other_model"):
            return False
        if receipt.get("degraded_from") or (receipt.get("simulated") and not deployment.simulated):
            return False
        if TIERS.index(deployment.tier) < TIERS.index(Tier(floor or Tier.GPU)):
            return False
        rules = {
            refusal["rule"] for refusal in refusals if refusal["deployment"] == deployment.name
        }
        return rules <= _NO_WALLS


def _fits(kind: ItemTask, asks: ReuseQuestion, output: Any) -> bool:
    """Whether the answer would be accepted today: its form and the checks may have changed."""
    if asks.form is None:
        return isinstance(output, Mapping) and isinstance(output.get("text"), str)
    if not isinstance(output, Mapping):
        output_said = output
    else:
        added = "confidence" not in asks.form.model_fields
        output_said = {k: v for k, v in output.items() if not (added and k == "confidence")}
    try:
        answer = asks.form.model_validate_json(json.dumps(output_said))
        return all(check(asks.arguments, answer) is None for check in kind.checks)
    except Exception:  # noqa: BLE001 - a team's own code too: its item goes to a model
        return False


def _answered(item: Item, route: RoutedItem, there: FormerItem, now: int) -> AnswerWithoutCall:
    former, ago = there.receipt, (now - there.ended_at) / SECOND_US
    why = [
        f"item {there.item_id} asked the same, and its answer was accepted {ago:,.0f} s before",
        f"it was given by {former['deployment']} ({former['tier']})",
    ]
    receipt = {
        **receipt_of(item, route, ItemTask.declared[item.task], why),
        "tier": former["tier"],
        "deployment": former["deployment"],
        "model_asked": former["model_asked"],
        "model_served": former.get("model_served"),
        "other_model": False,
        "confidence": former.get("confidence"),
        "simulated": bool(former.get("simulated")),
        "reused_from": there.item_id,
    }
    return AnswerWithoutCall(BelowTier.REUSED, route, there.output, receipt, of=there.item_id)
