"""The task types that come with tierqueue; importing this declares them all."""

from tierqueue.tasks.kinds.ask import ask
from tierqueue.tasks.kinds.classify import classify
from tierqueue.tasks.kinds.combine import combine
from tierqueue.tasks.kinds.complete import complete
from tierqueue.tasks.kinds.extract import extract
from tierqueue.tasks.kinds.images import ask_image, classify_image, extract_image
from tierqueue.tasks.kinds.summarize import summarize

__all__ = [
    "ask",
    "ask_image",
    "classify",
    "classify_image",
    "combine",
    "complete",
    "extract",
    "extract_image",
    "summarize",
]
