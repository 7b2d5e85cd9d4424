"""Another team's application: plain Celery, tierqueue not installed as far as it knows."""

import json
import os
from typing import Any

from celery import Celery
from celery.app.task import Context

foreign = Celery("foreign", set_as_current=False)
foreign.conf.update(
    broker_url=os.environ.get("FOREIGN_BROKER", "redis://127.0.0.1:1/0"),
    result_backend=os.environ.get("FOREIGN_BROKER", "redis://127.0.0.1:1/0"),
    task_default_queue="foreign",
    worker_hijack_root_logger=False,
)


def note(line: list[Any]) -> None:
    """Write down, where a test reads it, that something ran."""
    foreign.backend.client.rpush("foreign-notes", json.dumps(line))


@foreign.task(name="foreign.echo", bind=True)  # type: ignore[untyped-decorator]
def echo(self: Any, value: Any, tag: str = "") -> Any:
    """Give back what came."""
    note(["echo", tag, self.request.parent_id, self.request.root_id])
    return value


@foreign.task(name="foreign.tally")  # type: ignore[untyped-decorator]
def tally(values: list[Any]) -> dict[str, Any]:
    """A chord's body that shows what it was given."""
    note(["tally", len(values)])
    return {"tallied": values}


@foreign.task(name="foreign.mourn")  # type: ignore[untyped-decorator]
def mourn(task_id: str) -> None:
    """An errback of the old kind."""
    note(["mourn", task_id])


@foreign.task(name="foreign.autopsy")  # type: ignore[untyped-decorator]
def autopsy(request: Context, error: Exception, _traceback: Any) -> None:
    """An errback of the new kind."""
    note(["autopsy", request.id, type(error).__name__])
