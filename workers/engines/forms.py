"""Forms of answers that an engine's own grammar cannot hold: said at the start, not later."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import structlog

from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import Sensitivity
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.route import barred
from tierqueue.tasks.answers import form
from tierqueue.tasks.submission.item_task import ItemTask
from tierqueue.workers.engines.engine import Engine

_log = structlog.get_logger(__name__)


@runtime_checkable
class GrammarEngine(Protocol):
    """An engine that holds answers to a grammar which it makes of their schema itself."""

    def not_held(self, schema: Mapping[str, Any]) -> str | None:
        """Which part of an answer's schema it can make no grammar of; ``None``: it holds it."""


@dataclass(frozen=True, slots=True)
class GrammarGap:
    """A task type whose answer a deployment's grammar cannot hold, and which part of it."""

    task: str
    deployment: str
    part: str

    def heartbeat_detail(self) -> dict[str, str]:
        """As the heartbeat tells it."""
        return asdict(self)


def not_held(
    stations: Iterable[tuple[Deployment, Engine]], types: Mapping[str, Any]
) -> list[GrammarGap]:
    """What the engines cannot hold of the models that task types declare, each in the log too.

    ``types``: Celery's tasks by name. A model that a call's arguments make is known with the call.
    """
    found = [
        GrammarGap(name, deployment.name, part)
        for deployment, engine in stations
        if isinstance(engine, GrammarEngine)
        for name, kind in sorted(types.items())
        if isinstance(kind, ItemTask) and barred(deployment, name, Sensitivity.PUBLIC) is None
        for part in _parts(deployment, engine, kind)
    ]
    for one in found:
        _log.error("answer_not_held", task=one.task, deployment=one.deployment, part=one.part)
    return found


def _parts(
    deployment: Deployment, engine: GrammarEngine, kind: "ItemTask[..., Any]"
) -> Iterable[str]:
    model = type(kind).output
    if not isinstance(model, type):
        return
    try:
        asked = form.asked_of(deployment, model)
    except InvalidItem:  # without a JSON schema: each call says so
        return
    part = None if asked.schema is None else engine.not_held(asked.schema)
    if part is not None:
        yield part
