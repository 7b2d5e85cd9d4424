"""The worker's consumer: as Celery's, but nothing that arrives is thrown away."""

import re
from typing import Any

import structlog
from celery.worker.consumer import Consumer
from kombu import Message

from tierqueue.router.errors import Undecodable
from tierqueue.tasks.broker import names
from tierqueue.tasks.broker.slices import Slice
from tierqueue.tasks.consumer import revoke as _revoke_is_ours  # noqa: F401  # registers the command
from tierqueue.tasks.consumer import task_message
from tierqueue.tasks.consumer.clients import one_client
from tierqueue.tasks.consumer.envelopes import store_unopenable
from tierqueue.tasks.consumer.unacked_messages import outlive_the_broker
from tierqueue.tasks.consumer.unreadable_messages import notify_sender, store_bytes, store_raw

_log = structlog.get_logger(__name__)

_GATHER_SECONDS = 0.05
"""Seconds in which Celery's own events gather into one message; it would send each by itself."""

_AGAIN_SECONDS = 2.0
"""Seconds until the next try while the ledger cannot be asked; the message is not acknowledged."""


_NAME = re.compile(r"[\w.:/<>-]{1,200}")
"""What looks like a task's name; anything else may be what a message says."""


class ItemConsumer(Consumer):  # type: ignore[misc]  # celery ships no types
    """Keeps what it cannot read or does not know in the ledger, and tells its sender.

    Every message is read whole before Celery acts on it; of none are the contents logged.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app.installation.item_events.hostname = self.hostname
        self._gathering = False

    def on_send_event_buffered(self) -> None:
        """An event waits to be sent; called from any thread."""
        if self.hub and not self._gathering:
            self._gathering = True
            self.hub.call_soon(self._flush_later)

    def _flush_later(self) -> None:
        self.hub.call_later(_GATHER_SECONDS, self._flush_gathered)

    def _flush_gathered(self) -> None:
        self._gathering = False
        self._flush_events()

    def connection_for_read(self, heartbeat: Any = None) -> Any:
        """A connection that outlives what is no message at all."""
        connection = self.app.connection_for_read(heartbeat=heartbeat)
        store_unopenable(connection.transport, self._store_entry)
        outlive_the_broker(connection.transport)
        one_client(connection.transport)
        return self.ensure_connected(connection)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """As Celery's, behind a look at the whole message: it would stumble half way."""
        act = super().create_task_handler(*args, **kwargs)
        of_the_broker = (*self.connection_errors, *self.connection.channel_errors)

        def read_and_act(message: Message) -> None:
            fault = fault_of(message)
            if fault is not None:
                self._store(message, fault)
                return
            try:
                act(message)
            except of_the_broker:
                raise
            except Exception as error:  # noqa: BLE001 - no message ends a process
                self._store(message, f"cannot be acted on: {type(error).__name__}")

        return read_and_act

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Its body is not what its content type says."""
        self._store(message, f"cannot be decoded: {type(exc).__name__}")

    def on_unknown_message(self, _body: Any, message: Message) -> None:
        """It is no Celery message."""
        self._store(message, "is not a task message")

    def on_invalid_task(self, _body: Any, message: Message, exc: Exception) -> None:
        """It is a task message with something wrong in it."""
        self._store(message, f"is not a valid task message: {type(exc).__name__}")

    def on_unknown_task(self, _body: Any, message: Message, _exc: Exception) -> None:
        """It asks for a task that is not registered here."""
        name = str(message.headers.get("task"))
        shown = name if _NAME.fullmatch(name) else "of no name"
        self._store(message, f"asks for a task unknown here: {shown}")

    def _store(self, message: Message, error: str) -> None:
        try:
            ledger = self.app.installation.ledger
            store_raw(ledger, message, error)
            notify_sender(self.app, ledger, message, error)
        except Exception as failure:  # noqa: BLE001 - tried again until it is stored
            _log.error("message_not_stored", error=type(failure).__name__)
            self.timer.call_after(_AGAIN_SECONDS, self._store, (message, error))
            return
        message.ack_log_error(_log, self.connection_errors)

    def _store_entry(self, entry: bytes, queue: str, error: str) -> None:
        try:
            store_bytes(self.app.installation.ledger, entry, queue, {}, f"is no message: {error}")
        except Exception as failure:  # noqa: BLE001 - tried again until it is stored
            _log.error("message_not_stored", error=type(failure).__name__)
            self.timer.call_after(_AGAIN_SECONDS, self._store_entry, (entry, queue, error))


def fault_of(message: Message) -> str | None:
    """What is wrong with a message, without a word of what it says."""
    said = task_message.read(message)
    if said.wrong:
        return f"is not a valid task message: {', '.join(sorted(said.wrong))}"
    if said.fields["task"] == names.SLICE:
        return _fault_of_slice(said.kwargs)
    return None


def _fault_of_slice(kwargs: dict[str, Any]) -> str | None:
    try:
        Slice.read(kwargs)
    except Undecodable as error:
        return error.message
    return None
