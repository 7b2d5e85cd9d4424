"""Messages that were not acknowledged when the broker went: left to it, whatever it answers."""

from typing import Any

import structlog

_log = structlog.get_logger(__name__)


def outlive_the_broker(transport: Any) -> None:
    """Make a Redis transport's channels close although the broker is gone; call it unconnected.

    A channel puts back what it holds without an acknowledgement as it closes. Celery closes a lost
    connection twice, and kombu's second try finds nobody to ask and raises ``AttributeError``,
    which ends the worker. What is not put back stays among the broker's unacknowledged messages,
    and is delivered again after the visibility timeout.
    """
    channel = transport.Channel
    if hasattr(channel, "_brpop_read"):
        quality = type("QoS", (_Lenient, channel.QoS), {})
        transport.Channel = type("Channel", (channel,), {"QoS": quality})


class _Lenient:
    _delivered: Any

    def restore_unacked_once(self, stderr: Any = None) -> None:
        left = len(self._delivered)
        try:
            super().restore_unacked_once(stderr)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - no lost connection ends a process
            self._delivered.clear()
            _log.warning("messages_not_put_back", messages=left, error=type(error).__name__)
