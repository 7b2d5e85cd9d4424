"""What producers import: ``from tierqueue.tasks import classify``.

Each name is loaded when it is first asked for: a command, or a service that calls one task type,
starts without the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tierqueue.router.outcome import Accepted, Rejected
    from tierqueue.tasks.jobs.job import Job, submit_job
    from tierqueue.tasks.kinds.classify import classify
    from tierqueue.tasks.kinds.complete import complete
    from tierqueue.tasks.kinds.extract import extract
    from tierqueue.tasks.kinds.summarize import summarize
    from tierqueue.tasks.results.async_answer import Answer, ItemResult
    from tierqueue.tasks.submission.declare import item_task
    from tierqueue.tasks.submission.demands import Demands
    from tierqueue.tasks.submission.item_task import ItemTask
    from tierqueue.tasks.submission.prompt import Prompt
    from tierqueue.tasks.submission.task_type import Doubt

_HOME = {
    "Accepted": "tierqueue.router.outcome",
    "Answer": "tierqueue.tasks.results.async_answer",
    "Demands": "tierqueue.tasks.submission.demands",
    "Doubt": "tierqueue.tasks.submission.task_type",
    "ItemResult": "tierqueue.tasks.results.async_answer",
    "ItemTask": "tierqueue.tasks.submission.item_task",
    "Job": "tierqueue.tasks.jobs.job",
    "Prompt": "tierqueue.tasks.submission.prompt",
    "Rejected": "tierqueue.router.outcome",
    "classify": "tierqueue.tasks.kinds",
    "complete": "tierqueue.tasks.kinds",
    "extract": "tierqueue.tasks.kinds",
    "item_task": "tierqueue.tasks.submission.declare",
    "submit_job": "tierqueue.tasks.jobs.job",
    "summarize": "tierqueue.tasks.kinds",
}

__all__ = [
    "Accepted",
    "Answer",
    "Demands",
    "Doubt",
    "ItemResult",
    "ItemTask",
    "Job",
    "Prompt",
    "Rejected",
    "classify",
    "complete",
    "extract",
    "item_task",
    "submit_job",
    "summarize",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
