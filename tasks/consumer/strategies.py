"""Strategies of a Celery worker for messages that are not to become tasks of its pool."""

from collections.abc import Callable
from typing import Any

import structlog

_log = structlog.get_logger(__name__)


def at_once(task: Any, _: Any, consumer: Any) -> Callable[..., None]:
    """Carry it out where it arrives, without its arguments: what takes less than the way there."""

    def carry_out(_message: Any, _body: Any, ack: Any, _reject: Any, _callbacks: Any) -> None:
        task()
        ack(_log, consumer.connection_errors)

    return carry_out
