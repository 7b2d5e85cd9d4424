"""Logs of the long-running processes: one JSON object a line, ours and Celery's alike.

Fields are ids, reasons and numbers; prompts, answers and arguments never get here.
"""

import logging
from typing import Any

import structlog
from celery.signals import after_setup_logger

_SHARED: list[Any] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    # Only where an exception was raised, never what was passed to it or held in its frames.
    structlog.processors.format_exc_info,
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
                structlog.processors.format_exc_info,
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
    for each in logger.handlers:
        each.setFormatter(form)
