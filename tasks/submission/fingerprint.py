"""Fingerprints of rows and of items' questions: equal ones may share an answer."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tierqueue.tasks.answers import form

if TYPE_CHECKING:
    from tierqueue.ledger.lifecycle.items import NewItem
    from tierqueue.tasks.submission.task_type import TaskType

UNHEARD = frozenset({"deadline", "idempotency_key", "latency", "metadata", "priority"})
"""Demands that change when an answer comes and to whom it is told, and never the answer."""

_encode = json.JSONEncoder(sort_keys=True, default=str).encode


def of_row(columns: Mapping[str, Any], only: str | None) -> str:
    """A hash of what an answer can depend on in a row: the column ``only``, or else every one that
    models or the routing hear of.
    """
    heard = {
        name: value
        for name, value in columns.items()
        if (name not in UNHEARD if only is None else name == only)
    }
    return _hash(heard)


def of_item(task: "TaskType", new: "NewItem") -> str:
    """A hash of what decides an item's answer and who may see and pay it: the task type and its
    prompt's version, the answer's form, the arguments, and the demands but for ``UNHEARD``.
    """
    demands = (
        *("risk", "sensitivity", "inherits", "max_cost", "floor"),
        *("fallback", "budget", "output_limit"),
    )
    return _hash(
        {
            "task": task.name,
            "version": task.prompt_version,
            "form": _of_model(task.output_model(new.arguments)),
            "arguments": new.arguments,
            **{name: getattr(new, name) for name in demands},
            **({"pinned": new.pinned} if new.pinned else {}),
            **({"prompt": new.prompt} if new.prompt else {}),
        }
    )


def of_answer(
    task: "TaskType",
    arguments: Mapping[str, Any],
    form: type[BaseModel] | None,
    demands: Mapping[str, Any],
) -> str:
    """A hash of what decides an answer that has been given, and who may see and pay it:
    ``demands`` as the policy made them, and the ``form`` that an answer must fit.
    """
    return _hash(
        {
            "task": task.name,
            "version": task.prompt_version,
            "form": _of_model(form),
            "arguments": arguments,
            **demands,
        }
    )


def of_run(
    task: "TaskType",
    path: str,
    column: str | None,
    fixed: Mapping[str, Any],
    *,
    anew: bool,
    part: Sequence[str | None] = (),
) -> str:
    """A hash of what a whole file is asked: where it is, how it is read, and what all rows have in
    common. ``part``: which rows of it, such as a sheet. ``anew``: whatever was asked before does
    not count.
    """
    common = {name: value for name, value in fixed.items() if name not in UNHEARD}
    told: dict[str, Any] = {"path": path, "column": column, "common": common, "anew": anew}
    if any(part):
        told["part"] = list(part)
    return _hash({"task": task.name, "version": task.prompt_version, **told})


@lru_cache(maxsize=1024)
def _of_model(model: type[BaseModel] | None) -> str:
    return "" if model is None else _hash(form.schema_of(model))


def _hash(value: Any) -> str:
    return hashlib.sha256(_encode(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]
