"""Commands to workers, as they hear them: one that cannot be acted on deafens nobody."""

from typing import Any

import structlog
from kombu.pidbox import Mailbox, Node

_log = structlog.get_logger(__name__)

_NOT_A_COMMAND = (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)


class _ItemNode(Node):
    """As kombu's; Celery would listen anew after each error, and hear nothing for a while."""

    def handle_message(self, body: Any, message: Any = None) -> Any:
        try:
            return super().handle_message(body, message)  # type: ignore[no-untyped-call]
        except _NOT_A_COMMAND as error:
            _log.error("command_unreadable", error=type(error).__name__)
            return None


class ItemMailbox(Mailbox):
    """Where workers hear commands, such as Flower's."""

    node_cls = _ItemNode
