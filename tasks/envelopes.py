"""List entries on the broker that are no messages at all: kept too, and survived.

kombu pops an entry before it looks at it; one that it cannot open is gone and ends the worker.
"""

from collections.abc import Callable
from typing import Any

KeepBytes = Callable[[bytes, str, str], None]
"""Takes an entry's bytes, its queue, and what was wrong with it."""

_UNOPENABLE = (ValueError, TypeError, KeyError, AttributeError)


def keep_unopenable(transport: Any, keep: KeepBytes) -> None:
    """Make a Redis transport's channels hand over what they cannot open; call it unconnected."""
    channel = transport.Channel
    if hasattr(channel, "_brpop_read"):
        message = type("Message", (_Opened, channel.Message), {})
        members = {"keep": staticmethod(keep), "Message": message}
        transport.Channel = type("Channel", (_Keeping, channel), members)


class _Opened:
    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        super().__init__(payload, channel=channel, **kwargs)  # type: ignore[call-arg]
        channel.opened = True


class _Keeping:
    keep: KeepBytes
    client: Any
    opened = False

    def _brpop_read(self, **options: Any) -> Any:
        self.opened = False
        popped: list[Any] = []
        read = self.client.parse_response

        def noted(*args: Any, **kwargs: Any) -> Any:
            popped.append(read(*args, **kwargs))
            return popped[-1]

        self.client.parse_response = noted
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except _UNOPENABLE as error:
            # Once opened it is a message, and whatever failed is not its envelope.
            if self.opened or not popped or not popped[-1]:
                raise
            queue, entry = popped[-1]
            self.keep(entry, queue.decode(errors="replace"), type(error).__name__)
            return True
        finally:
            self.client.parse_response = read
