"""The task types that come with tierqueue; importing this declares them all."""

from tierqueue.tasks.kinds.classify import classify
from tierqueue.tasks.kinds.complete import complete
from tierqueue.tasks.kinds.extract import extract
from tierqueue.tasks.kinds.summarize import summarize

__all__ = ["classify", "complete", "extract", "summarize"]
