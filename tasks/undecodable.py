"""Messages nobody can read: kept with their raw bytes in the ledger, then taken off the queue."""

from collections.abc import Mapping
from typing import Any

import structlog
from celery.exceptions import NotRegistered
from kombu import Message

from tierqueue.ledger import raw_messages
from tierqueue.tasks.app import TierqueueApp

_log = structlog.get_logger(__name__)

_CONTENTS = frozenset({"argsrepr", "kwargsrepr"})


def keep_raw(app: TierqueueApp, message: Message, error: str) -> None:
    """Commit the message as it came; raises what the ledger raises.

    ``error`` says why it could not be read and holds nothing of what it says.
    """
    body = message.body
    raw = body.encode() if isinstance(body, str) else bytes(body or b"")
    headers = message.headers if isinstance(message.headers, dict) else {}
    queue = (message.delivery_info or {}).get("routing_key") or "unknown"
    shown = {
        str(name): value if isinstance(value, str | int | None) else repr(value)
        for name, value in headers.items()
        if name not in _CONTENTS
    }
    keep_bytes(app, raw, queue, shown, error)


def keep_bytes(
    app: TierqueueApp, raw: bytes, queue: str, headers: Mapping[str, Any], error: str
) -> None:
    """Commit bytes that came on ``queue``; raises what the ledger raises."""
    with app.ledger.write() as connection:
        kept = raw_messages.keep(connection, queue=queue, body=raw, headers=headers, error=error)
    _log.error("undecodable", kept=kept, queue=queue, error=error, bytes=len(raw))


def tell_unknown(app: TierqueueApp, message: Message, name: str) -> None:
    """Fail an unknown task for its producer, as Celery does; a broker that is down is ignored."""
    try:
        app.backend.mark_as_failure(message.headers["id"], NotRegistered(name))
    except Exception as error:  # noqa: BLE001 - its message is kept all the same
        _log.warning("unknown_task_not_told", error=type(error).__name__)


def task_name(message: Message) -> Any:
    """The name of the task a message asks for, where it says so."""
    headers = message.headers
    return headers.get("task") if isinstance(headers, dict) else None
