"""The worker's consumer: as Celery's, but nothing that arrives is thrown away."""

from typing import Any

import structlog
from celery.worker.consumer import Consumer
from kombu import Message

from tierqueue.tasks import revoke as _revoke_is_ours  # noqa: F401  # registers the command
from tierqueue.tasks.envelopes import keep_unopenable
from tierqueue.tasks.undecodable import keep_bytes, keep_raw, task_name, tell_unknown

_log = structlog.get_logger(__name__)

_GATHER = 0.05
"""Seconds in which Celery's own events gather into one message; it would send each by itself."""

_AGAIN = 2.0
"""Seconds until the next try while the ledger cannot be asked; the message is not acknowledged."""


class ItemConsumer(Consumer):  # type: ignore[misc]  # celery ships no types
    """Keeps undecodable messages and unknown tasks in the ledger; logs none of their contents."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app.item_events.hostname = self.hostname
        self._gathering = False

    def on_send_event_buffered(self) -> None:
        """An event waits to be sent; called from any thread."""
        if self.hub and not self._gathering:
            self._gathering = True
            self.hub.call_soon(self._flush_later)

    def _flush_later(self) -> None:
        self.hub.call_later(_GATHER, self._flush_gathered)

    def _flush_gathered(self) -> None:
        self._gathering = False
        self._flush_events()

    def connection_for_read(self, heartbeat: Any = None) -> Any:
        """A connection that outlives what is no message at all."""
        connection = self.app.connection_for_read(heartbeat=heartbeat)
        keep_unopenable(connection.transport, self._keep_entry)
        return self.ensure_connected(connection)

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Its body is not what its content type says."""
        self._keep(message, f"cannot be decoded: {type(exc).__name__}")

    def on_unknown_message(self, _body: Any, message: Message) -> None:
        """It is no Celery message."""
        self._keep(message, "is not a task message")

    def on_invalid_task(self, _body: Any, message: Message, exc: Exception) -> None:
        """It is a task message with something wrong in it."""
        self._keep(message, f"is not a valid task message: {type(exc).__name__}")

    def on_unknown_task(self, _body: Any, message: Message, _exc: Exception) -> None:
        """It asks for a task that is not registered here."""
        name = task_name(message)
        self._keep(message, f"asks for a task unknown here: {str(name)[:200]}")

    def _keep(self, message: Message, error: str) -> None:
        try:
            keep_raw(self.app, message, error)
        except Exception as failure:  # noqa: BLE001 - tried again until it is kept
            _log.error("undecodable_not_kept", error=type(failure).__name__)
            self.timer.call_after(_AGAIN, self._keep, (message, error))
            return
        name = task_name(message)
        if name is not None and "id" in message.headers and name not in self.app.tasks:
            tell_unknown(self.app, message, name)
        message.ack_log_error(_log, self.connection_errors)

    def _keep_entry(self, entry: bytes, queue: str, error: str) -> None:
        try:
            keep_bytes(self.app, entry, queue, {}, f"is no message: {error}")
        except Exception as failure:  # noqa: BLE001 - tried again until it is kept
            _log.error("undecodable_not_kept", error=type(failure).__name__)
            self.timer.call_after(_AGAIN, self._keep_entry, (entry, queue, error))
