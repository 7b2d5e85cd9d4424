"""What producers import: ``from tierqueue.tasks import classify``."""

from tierqueue.router.outcome import Accepted, Rejected
from tierqueue.tasks.answers import Answer, ItemResult
from tierqueue.tasks.base import Doubt, ItemTask
from tierqueue.tasks.declare import item_task
from tierqueue.tasks.demands import Demands
from tierqueue.tasks.kinds.classify import classify
from tierqueue.tasks.kinds.complete import complete
from tierqueue.tasks.kinds.extract import extract
from tierqueue.tasks.kinds.summarize import summarize
from tierqueue.tasks.prompt import Prompt

__all__ = [
    "Accepted",
    "Answer",
    "Demands",
    "Doubt",
    "ItemResult",
    "ItemTask",
    "Prompt",
    "Rejected",
    "classify",
    "complete",
    "extract",
    "item_task",
    "summarize",
]
