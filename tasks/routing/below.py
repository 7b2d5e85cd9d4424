"""The common rules of all who answer below the tiers: whom they leave alone, audits, receipts."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic import BaseModel

from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.in_force.surrogates import Audit, Record
from tierqueue.ledger.lifecycle.deaths import AnswerWithoutCall
from tierqueue.ledger.lifecycle.items import NewItem
from tierqueue.ledger.lifecycle.routes import RoutedItem
from tierqueue.ledger.records import Item
from tierqueue.router.item import BelowTier, Tier
from tierqueue.router.learned.certify import tail
from tierqueue.router.money import format_usd
from tierqueue.tasks.results import plain
from tierqueue.tasks.routing.decide import Decisions, own_of
from tierqueue.tasks.submission.item_task import ItemTask

CHANCE = 0.001
"""Who is audited is switched off where its audits would be as bad by so small a chance at most,
were its promise kept."""


@dataclass(frozen=True, slots=True)
class AuditTerms:
    """What audits hold a version to: of its answers to a task type at most a share ``alpha`` is
    another than the model's.
    """

    by: BelowTier
    task: str
    alpha: float

    def broken(self, record: Record) -> bool:
        """Whether the audits say that more of its answers differ."""
        agreed = record.compared - record.differed
        return tail(agreed, record.compared, 1 - self.alpha) < CHANCE


@dataclass(frozen=True, slots=True)
class Offer:
    """What a version would answer to an item: ``stated``, which makes the ``output``; ``says`` is
    added to the receipt. A share ``audit`` of its items goes to a model all the same.
    """

    by: BelowTier
    version: str
    audit: float
    stated: Mapping[str, Any]
    output: Mapping[str, Any]
    why: str
    says: Mapping[str, Any]


class Version(Protocol):
    """What the policy puts before the tiers for one task type."""

    @property
    def version(self) -> str:
        """What receipts and audits name it by, and whoever retires it."""

    @property
    def promise(self) -> AuditTerms:
        """What audits hold it to."""

    def offer(self, arguments: Mapping[str, Any]) -> Offer | None:
        """What it says to a call; ``None`` where it has no answer."""


class Versions:
    """What a policy puts before the tiers, a version a task type; false where that is nothing."""

    def __init__(self, by_task: Mapping[str, Version]) -> None:
        self._by_task = by_task

    def __bool__(self) -> bool:
        return bool(self._by_task)

    @property
    def tasks(self) -> Collection[str]:
        """Task types that have one."""
        return self._by_task.keys()

    @property
    def promises(self) -> dict[str, AuditTerms]:
        """What each is held to, by its version."""
        return {one.version: one.promise for one in self._by_task.values()}

    def offer(
        self,
        item: Item | NewItem,
        floor: str | None,
        arguments: Mapping[str, Any] | None,
        off: Collection[str],
    ) -> Offer | None:
        """What one says to an item whose floor is ``floor``; ``None`` where it may not answer, or
        has no answer.
        """
        one = self._by_task.get(item.task)
        if one is None or one.version in off or wants_a_model(item, floor):
            return None
        return None if arguments is None else one.offer(arguments)

    def serve(
        self,
        chosen: Decisions,
        arguments: Mapping[str, Mapping[str, Any]],
        off: Collection[str],
        paused: Sequence[Pause],
    ) -> Decisions:
        """``chosen``, with what is answered here instead of routed, and what is to be audited."""

        def offer(item: Item, route: RoutedItem) -> Offer | None:
            return self.offer(item, route.floor, arguments.get(item.id), off)

        return offered(chosen, offer, paused)


def offered(
    chosen: Decisions, offer: Callable[[Item, RoutedItem], Offer | None], paused: Sequence[Pause]
) -> Decisions:
    """``chosen``, with what is answered here instead of routed, and what is to be audited.

    Only items that have a route are answered: walls come first. One that is to be audited is left
    to the model by everybody. One that is asked under another prompt goes there, and is written
    down: under its task type's own it would have been answered here.
    """
    items = {item.id: item for item in chosen.items}
    audited = {audit.item_id for audit in chosen.audits}
    routed: list[RoutedItem] = []
    answered, audits = list(chosen.answered), list(chosen.audits)
    for route in chosen.routed:
        item = items[route.id]
        alone = item.id in audited or held_back(item, route, paused)
        found = None if alone else offer(item, route)
        if found is None:
            routed.append(route)
        elif route.prompt is not None:
            routed.append(route)
            audits.append(Audit(item.id, item.task, found.version, None))
        elif drawn(found.version, item.id, found.audit):
            routed.append(route)
            answer = named({name: found.output[name] for name in found.stated})
            audits.append(Audit(item.id, item.task, found.version, answer))
        else:
            answered.append(_answered(found, item, route))
    return replace(chosen, routed=routed, answered=answered, audits=audits)


def held_back(item: Item, route: RoutedItem, paused: Sequence[Pause]) -> bool:
    """Whether nobody below the tiers may answer the item, whatever its prompt: an evaluation asks
    one tier, a model had its turn already, or somebody holds it back.
    """
    begun = item.calls or item.refused_by or item.too_small or item.degraded or route.degraded
    names = {"task": item.task, "budget": route.budget, "job": item.job_id}
    held = any(names.get(pause.kind) == pause.name for pause in paused)
    return item.pinned is not None or bool(begun) or held


def wants_a_model(item: Item | NewItem, floor: str | None) -> bool:
    """Whether the item asks for more than anybody without a model has: a floor of its own or one
    that the policy makes of it (``floor``), a confidence, or a look at an image.
    """
    floored = "floor" in own_of(item) or floor != Tier.GPU
    return floored or item.min_confidence is not None or bool(item.images)


def drawn(version: str, item_id: str, share: float) -> bool:
    """Whether the item is among the ``share`` that a model answers all the same, by its id."""
    text = f"audit:{version}:{item_id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) < share * 2**64


def named(answer: Mapping[str, Any]) -> str:
    """An answer as the column ``surrogate_audits.answer`` has it: the names of its fields, a JSON
    array in their order, a blank, and the SHA-256 of what they say; of a label alone its hash.
    """
    if answer.keys() == {"label"} and isinstance(answer["label"], str):
        return _hash(answer["label"])
    fields = sorted(answer)
    said = json.dumps([answer[name] for name in fields], sort_keys=True)
    return f"{json.dumps(fields)} {_hash(said)}"


def agrees(answer: str, output: Any) -> bool | None:
    """Whether an output says in the same fields what audits kept; ``None`` where it has not these
    fields.
    """
    fields, _, _ = answer.rpartition(" ")
    names = json.loads(fields) if fields else ["label"]
    if not isinstance(output, Mapping) or any(name not in output for name in names):
        return None
    if not fields and not isinstance(output["label"], str):
        return None
    return named({name: output[name] for name in names}) == answer


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def form_of(kind: ItemTask, arguments: Mapping[str, Any]) -> type[BaseModel] | Exception | None:
    """The model that an answer must fit; the error where the task type's own code raises one."""
    try:
        return kind.output_model(arguments)
    except Exception as error:  # noqa: BLE001 - a team's own code: its item goes to a model
        return error


def fitted(
    kind: ItemTask, arguments: Mapping[str, Any], stated: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """What a worker would keep of ``stated``; ``None`` where it would refuse it."""
    try:
        form = kind.output_model(arguments)
        if form is None:
            text = stated.get("text")
            return {"text": text} if stated.keys() == {"text"} and isinstance(text, str) else None
        answer = form.model_validate_json(json.dumps(stated))
        if any(check(arguments, answer) is not None for check in kind.checks):
            return None
        output = plain.dumped(answer)
    except Exception:  # noqa: BLE001 - a team's own code too: its item goes to a model
        return None
    if not isinstance(output, dict) or not output.keys() >= stated.keys():
        return None
    read = kind.answer_model
    if read is not None and "confidence" in read.model_fields:
        output.setdefault("confidence", None)
    return output


def receipt_of(item: Item, route: RoutedItem, kind: ItemTask, why: Sequence[str]) -> dict[str, Any]:
    """What an answer says of itself that took no call; who gave it is to be added."""
    return {
        "item": item.id,
        "task": item.task,
        "attempts": 0,
        "tokens": {"input": 0, "output": 0, "estimated": False},
        "cost": format_usd(item.spent),
        "cost_nanousd": item.spent,
        "seconds": 0.0,
        "why": list(why),
        "prompt_version": kind.prompt_version,
        "sensitivity": route.sensitivity,
        "degraded_from": None,
        "stands_in_for": None,
    }


def _answered(offer: Offer, item: Item, route: RoutedItem) -> AnswerWithoutCall:
    receipt = {
        **receipt_of(item, route, ItemTask.declared[item.task], [offer.why]),
        "tier": offer.by.value,
        "deployment": offer.version,
        "model_asked": offer.version,
        "model_served": offer.version,
        "other_model": False,
        "confidence": None,
        "simulated": False,
        **offer.says,
    }
    return AnswerWithoutCall(offer.by, route, offer.output, receipt)
