"""What all who answer below the tiers have in common: whom they leave alone, and their receipts."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle.routes import Routed
from tierqueue.ledger.records import Item
from tierqueue.router.money import format_usd
from tierqueue.tasks.submission.item_task import ItemTask


def left_alone(item: Item, route: Routed, paused: Sequence[Pause]) -> bool:
    """Whether nobody below the tiers may answer the item: an evaluation asks one tier, it is asked
    under another prompt, a model had its turn already, or somebody holds it back.
    """
    begun = item.calls or item.refused_by or item.too_small or item.degraded or route.degraded
    names = {"task": item.task, "budget": route.budget, "job": item.job_id}
    held = any(names.get(pause.kind) == pause.name for pause in paused)
    return item.pinned is not None or route.prompt is not None or bool(begun) or held


def drawn(version: str, item_id: str, share: float) -> bool:
    """Whether the item is among the ``share`` that a model answers all the same, by its id."""
    text = f"audit:{version}:{item_id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) < share * 2**64


def form_of(kind: ItemTask, arguments: Mapping[str, Any]) -> type[BaseModel] | Exception | None:
    """The model that an answer must fit; the error where the task type's own code raises one."""
    try:
        return kind.output_model(arguments)
    except Exception as error:  # noqa: BLE001 - a team's own code: its item goes to a model
        return error


def receipt_of(item: Item, route: Routed, kind: ItemTask, why: Sequence[str]) -> dict[str, Any]:
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
