"""Logs of the long-running processes: one JSON object a line, ours and Celery's alike.

Fields are ids, reasons and numbers; prompts, answers and arguments never get here.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any

import structlog
from celery.signals import after_setup_logger

from tierqueue.router.errors import TierqueueError

LONGEST = 2000
"""The most characters of an error's text."""

SPEAKING = (TierqueueError, ImportError, OSError)
"""Errors whose text is a setting's or the machine's; what other texts quote nobody knows."""

UNREACHABLE = frozenset({"ConnectionError", "OperationalError"})
"""As ``SPEAKING``: what the clients of brokers and databases call a server they cannot use."""


def _raised_where(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Put where an exception was raised and its type in place of it.

    Never what was passed to it or held in its frames, and its text only where it is known to hold
    no payload: a database quotes the row it refuses, a parser the text.
    """
    told = event.pop("exc_info", None)
    error = told if isinstance(told, BaseException) else None
    if told and error is None:
        error = told[1] if isinstance(told, tuple) else sys.exception()
    if error is not None:
        event["exception"] = "\n".join(_lines(error))
    return event


def _lines(error: BaseException) -> Iterator[str]:
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _lines(earlier)
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"{frame.filename}:{frame.lineno} {frame.name}"
    named = type(error).__name__
    speaks = isinstance(error, SPEAKING) or named in UNREACHABLE
    yield f"{named}: {error}"[:LONGEST] if speaks else named


_SHARED: list[Any] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _raised_where,
]


def configure() -> None:
    """Make this process log JSON lines; Celery's own handlers are given the same form."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    after_setup_logger.connect(_take_over, weak=False)


def join_host() -> None:
    """In a service that calls us, speak through its own ``logging``; what it configured stands.

    structlog by itself would print on the service's standard output.
    """
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                _raised_where,
                structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True),
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )


def _take_over(logger: logging.Logger, **_: Any) -> None:
    form = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
    for handler in logger.handlers:
        handler.setFormatter(form)
