"""One client of the broker for all commands of a channel: kombu makes one for each."""

from typing import Any


def one_client(transport: Any) -> None:
    """Make a Redis transport's channels keep their client; call it unconnected.

    kombu 5.7 makes a client whenever it acknowledges, keeps or sends a message: 89 us of CPU each,
    more than the command takes. What a client shares is its pool; with another pool comes another
    client.
    """
    channel = transport.Channel
    if hasattr(channel, "_brpop_read"):
        transport.Channel = type("Channel", (_OneClient, channel), {})


class _OneClient:
    pool: Any
    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        create = super()._create_client  # type: ignore[misc]
        if asynchronous:
            # Of a connection of its own, which listens.
            return create(asynchronous=True)
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = create()
        return self._kept
