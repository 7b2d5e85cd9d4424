"""Messages nobody can read: kept with their raw bytes in the ledger, their senders told."""

from collections.abc import Mapping
from typing import Any

import structlog
from celery.exceptions import NotRegistered
from kombu import Message

from tierqueue.ledger.operations import raw_messages
from tierqueue.ledger.results import promises
from tierqueue.ledger.session import Ledger, unstorable
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.app import TierqueueApp
from tierqueue.tasks.consumer.task_message import read
from tierqueue.tasks.submission import intake
from tierqueue.tasks.submission.item_task import ItemTask

_log = structlog.get_logger(__name__)

_CONTENTS = frozenset({"argsrepr", "kwargsrepr"})
_MOST_SHOWN = 200
"""Most characters of a header, and most headers, that are shown beside the bytes."""


def store_raw(ledger: Ledger, message: Message, error: str) -> None:
    """Commit the message as it came; raises what the ledger raises.

    ``error`` says why it could not be read and holds nothing of what it says.
    """
    body = message.body
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body or b"")
    queue = (message.delivery_info or {}).get("routing_key") or "unknown"
    shown = {
        str(name)[:_MOST_SHOWN]: value
        if isinstance(value, int | None) and abs(value or 0) < 2**63
        else str(value)[:_MOST_SHOWN]
        for name, value in list(message.headers.items())[:_MOST_SHOWN]
        if name not in _CONTENTS
    }
    store_bytes(ledger, raw, queue, shown, error)


def store_bytes(
    ledger: Ledger, raw: bytes, queue: str, headers: Mapping[str, Any], error: str
) -> None:
    """Commit bytes that came on ``queue``; raises what the ledger raises."""
    with ledger.write() as connection:
        kept = raw_messages.store(connection, queue=queue, body=raw, headers=headers, error=error)
    _log.error("message_undecodable", kept=kept, queue=queue, error=error, bytes=len(raw))


def notify_sender(app: TierqueueApp, ledger: Ledger, message: Message, error: str) -> None:
    """Fail a call for its sender, where it says who that is; raises what the ledger raises.

    One of ours becomes a dead letter ``invalid``; an unknown task fails as Celery lets it fail. A
    broker that is down is ignored, and nothing is told in the name of a call that is known.
    """
    call = read(message)
    if call.addressee is None:
        return
    name, call_id = call.addressee
    task = app.tasks.get(name)
    if isinstance(task, ItemTask):
        fault = InvalidItem(f"{name}: its message {error}", {"task": name})
        try:
            intake.refuse(app, name, (), {}, call.promise(), fault)
        except Exception as failure:
            if not unstorable(failure):
                raise
            _log.warning("sender_not_notified", error=type(failure).__name__)
    elif task is None:
        with ledger.read() as connection:
            known = promises.exists(connection, call_id)
        if not known:
            _fail(app, call_id, name)


def _fail(app: TierqueueApp, call_id: str, name: str) -> None:
    try:
        app.backend.mark_as_failure(call_id, NotRegistered(name))
    except Exception as failure:  # noqa: BLE001 - its message is kept all the same
        _log.warning("sender_not_notified", error=type(failure).__name__)
