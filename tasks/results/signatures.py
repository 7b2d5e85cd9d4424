"""Celery signatures as the plain JSON that promises keep."""

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from celery import Celery
from celery.canvas import Signature
from kombu.utils import json as celery_json

_INSIDE = ("tasks", "header", "body")
_DIRECTIONS = frozenset({"queue", "exchange", "routing_key"})


def plain(signature: Any) -> Any:
    """A signature (or several) as the JSON that Celery would have sent; ``None`` stays ``None``.

    A task of another application gets the queue that application would send it to: later it is
    sent from a process that knows nothing of that application's routes.
    """
    if signature is None:
        return None
    return json.loads(celery_json.dumps(_routed(signature)))


def opened(signature: Any) -> Any:
    """A plain signature with dates and the like as Celery would have read them."""
    return None if signature is None else celery_json.loads(json.dumps(signature))


def _routed(value: Any) -> Any:
    if isinstance(value, Mapping):
        inside = {name: _routed(part) for name, part in value.items()}
        if isinstance(value, Signature) and not value.get("subtask_type"):
            options = inside["options"]
            app = value._app  # noqa: SLF001 - its public name falls back to any current application
            if app is not None and not _DIRECTIONS & options.keys():
                inside["options"] = {**options, "queue": _queue(app, value["task"])}
        return inside
    if isinstance(value, list | tuple):
        return [_routed(part) for part in value]
    return value


def _queue(app: Celery, task: str) -> str:
    registered = app.tasks.get(task)
    options = registered._get_exec_options() if registered else {}  # noqa: SLF001
    stated = {name: option for name, option in options.items() if option is not None}
    queue = app.amqp.router.route(stated, task)["queue"]
    return str(getattr(queue, "name", queue))


def without_errbacks(signature: Any) -> Any:
    """A plain signature, and all inside it, without a ``link_error``."""
    if isinstance(signature, Mapping):
        return {
            name: without_errbacks(inside)
            for name, inside in signature.items()
            if name != "link_error"
        }
    if isinstance(signature, list):
        return [without_errbacks(part) for part in signature]
    return signature


def ids_in(signature: Any) -> Iterator[str]:
    """The task ids of a plain signature and of all that is inside it."""
    if isinstance(signature, Mapping):
        if "task" in signature and (task_id := (signature.get("options") or {}).get("task_id")):
            yield task_id
        for part in ("options", "kwargs", "chord", "chain", *_INSIDE):
            yield from ids_in(signature.get(part))
    elif isinstance(signature, list | tuple):
        for part in signature:
            yield from ids_in(part)


def listed(signatures: Any) -> list[Any] | None:
    """What Celery takes as ``link``: one signature, several, or none."""
    if not signatures:
        return None
    return list(signatures) if isinstance(signatures, list | tuple) else [signatures]


def named(signature: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A plain signature in which everything to be sent has a task id, the same for each ``name``.

    Ids that are there stay. Sent twice, such a signature makes one item.
    """
    result = dict(signature)
    task_id = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
    result["options"] = {"task_id": task_id, **(signature.get("options") or {})}
    if result.get("subtask_type"):
        kwargs = dict(signature.get("kwargs") or {})
        for part in _INSIDE:
            kwargs[part] = _named_inside(kwargs.get(part), f"{name}/{part}")
        result["kwargs"] = {part: value for part, value in kwargs.items() if value is not None}
    return result


def _named_inside(inside: Any, name: str) -> Any:
    if isinstance(inside, list | tuple):
        return [_named_inside(part, f"{name}/{index}") for index, part in enumerate(inside)]
    if isinstance(inside, Mapping) and "task" in inside:
        return named(inside, name)
    return inside
