"""Messages that were not acknowledged when the broker went: left to it, whatever it answers."""

from typing import Any

import structlog

_log = structlog.get_logger(__name__)


def outlive_the_broker(transport: Any) -> None:
    """Make a Redis transport's channels close although the broker is gone; call it unconnected.

    A channel puts back what it holds without an acknowledgement as it closes. Celery closes a lost
    connection twice, and kombu's second try finds nobody to ask and raises ``AttributeError``,
    which ends the worker. What is not put back stays among the broker's unacknowledged messages,
    and is delivered again after the visibility timeout. So does a message whose slice ends only
    then: its acknowledgement is refused as on any lost connection, with ``ConnectionError``.
    """
    channel = transport.Channel
    if hasattr(channel, "_brpop_read"):
        quality = type("QoS", (_LenientQoS, channel.QoS), {})
        transport.Channel = type("Channel", (channel,), {"QoS": quality})


class _LenientQoS:
    channel: Any
    _delivered: Any

    def ack(self, delivery_tag: Any) -> None:
        self._refuse_when_lost()
        super().ack(delivery_tag)  # type: ignore[misc]

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        self._refuse_when_lost()
        super().reject(delivery_tag, requeue)  # type: ignore[misc]

    def restore_unacked_once(self, stderr: Any = None) -> None:
        left = len(self._delivered)
        try:
            super().restore_unacked_once(stderr)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - no lost connection ends a process
            self._delivered.clear()
            _log.warning("messages_not_put_back", messages=left, error=type(error).__name__)

    def _refuse_when_lost(self) -> None:
        connection = self.channel.connection
        if connection is None or connection.client is None:
            raise ConnectionError("the connection to the broker was lost")
