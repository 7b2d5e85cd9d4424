"""The producers' package: ``from tierqueue.tasks import classify``.

Each name is loaded when it is first asked for: a command, or a service that calls one task type,
starts without the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tierqueue.router.outcome import Accepted, Rejected
    from tierqueue.tasks.evaluation.feedback import feedback
    from tierqueue.tasks.evaluation.review import Review, pending_reviews
    from tierqueue.tasks.jobs.job import Job, submit_job
    from tierqueue.tasks.kinds.ask import ask
    from tierqueue.tasks.kinds.classify import classify
    from tierqueue.tasks.kinds.complete import complete
    from tierqueue.tasks.kinds.document_result import DocumentResult
    from tierqueue.tasks.kinds.extract import extract
    from tierqueue.tasks.kinds.images import ask_image, classify_image, extract_image
    from tierqueue.tasks.kinds.long_document import (
        ask_document,
        extract_document,
        summarize_document,
    )
    from tierqueue.tasks.kinds.summarize import summarize
    from tierqueue.tasks.results.async_answer import Answer, ItemResult
    from tierqueue.tasks.submission.declare import item_task
    from tierqueue.tasks.submission.demands import Demands
    from tierqueue.tasks.submission.image import Image
    from tierqueue.tasks.submission.item_task import ItemTask
    from tierqueue.tasks.submission.pieces import Pieces
    from tierqueue.tasks.submission.pipeline import pipeline
    from tierqueue.tasks.submission.prompt import Prompt
    from tierqueue.tasks.submission.references import answer_of, argument_of
    from tierqueue.tasks.submission.task_type import Doubt

_HOME = {
    "Accepted": "tierqueue.router.outcome",
    "Answer": "tierqueue.tasks.results.async_answer",
    "Demands": "tierqueue.tasks.submission.demands",
    "Doubt": "tierqueue.tasks.submission.task_type",
    "DocumentResult": "tierqueue.tasks.kinds.document_result",
    "Image": "tierqueue.tasks.submission.image",
    "ItemResult": "tierqueue.tasks.results.async_answer",
    "ItemTask": "tierqueue.tasks.submission.item_task",
    "Job": "tierqueue.tasks.jobs.job",
    "Pieces": "tierqueue.tasks.submission.pieces",
    "Prompt": "tierqueue.tasks.submission.prompt",
    "Review": "tierqueue.tasks.evaluation.review",
    "Rejected": "tierqueue.router.outcome",
    "answer_of": "tierqueue.tasks.submission.references",
    "argument_of": "tierqueue.tasks.submission.references",
    "ask": "tierqueue.tasks.kinds",
    "ask_image": "tierqueue.tasks.kinds",
    "ask_document": "tierqueue.tasks.kinds.long_document",
    "classify": "tierqueue.tasks.kinds",
    "classify_image": "tierqueue.tasks.kinds",
    "complete": "tierqueue.tasks.kinds",
    "extract": "tierqueue.tasks.kinds",
    "extract_image": "tierqueue.tasks.kinds",
    "extract_document": "tierqueue.tasks.kinds.long_document",
    "feedback": "tierqueue.tasks.evaluation.feedback",
    "IntoTable": "tierqueue.tasks.jobs.export.into_table",
    "item_task": "tierqueue.tasks.submission.declare",
    "pending_reviews": "tierqueue.tasks.evaluation.review",
    "pipeline": "tierqueue.tasks.submission.pipeline",
    "submit_job": "tierqueue.tasks.jobs.job",
    "summarize": "tierqueue.tasks.kinds",
    "summarize_document": "tierqueue.tasks.kinds.long_document",
}

__all__ = [
    "Accepted",
    "Answer",
    "Demands",
    "DocumentResult",
    "Doubt",
    "Image",
    "IntoTable",
    "ItemResult",
    "ItemTask",
    "Job",
    "Pieces",
    "Prompt",
    "Rejected",
    "Review",
    "answer_of",
    "argument_of",
    "ask",
    "ask_document",
    "ask_image",
    "classify",
    "classify_image",
    "complete",
    "extract",
    "extract_document",
    "extract_image",
    "feedback",
    "item_task",
    "pending_reviews",
    "pipeline",
    "submit_job",
    "summarize",
    "summarize_document",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
