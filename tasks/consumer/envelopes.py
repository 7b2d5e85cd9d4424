"""Envelopes: entries on the broker that are no messages, found before kombu acts on them.

kombu pops an entry before it looks at it, and what it cannot open ends the worker.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Annotated, Any, Literal

import structlog
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tierqueue.tasks.bounded_values import Name, Text

_log = structlog.get_logger(__name__)

StoreBytes = Callable[[bytes, str, str], None]
"""Takes an entry's bytes, its queue, and what was wrong with it."""

MOST_BYTES = 64 * 1024 * 1024
"""Most bytes a compressed body may unfold to: a few kilobytes can hold any number."""

_UNFOLD: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("application/x-gzip", "gzip", "zlib"), zlib.decompressobj),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), bz2.BZ2Decompressor),
    **dict.fromkeys(("application/x-lzma", "lzma", "xz"), lzma.LZMADecompressor),
}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Address(_Strict):
    exchange: Annotated[Text, Field(max_length=255)]
    routing_key: Annotated[Text, Field(max_length=255)]


class _Properties(_Strict):
    delivery_tag: Name
    delivery_info: _Address
    body_encoding: Literal["base64"] | None = None


class _Envelope(_Strict):
    """What kombu wraps a message in, as far as it is looked at before the message is."""

    body: str | None = None
    properties: _Properties
    headers: dict[str, Any] | None = None
    content_type: str | None = Field(default=None, alias="content-type")
    content_encoding: str | None = Field(default=None, alias="content-encoding")


def fault_of(entry: Any, channel: Any) -> str | None:
    """What kombu could not open in ``entry`` (bytes, or what they say), and nothing it holds."""
    try:
        said = loads(bytes_to_str(entry)) if isinstance(entry, bytes | str) else entry
        envelope = _Envelope.model_validate(said)
        body = channel.decode_body(envelope.body or "", envelope.properties.body_encoding)
        compression = (envelope.headers or {}).get("compression")
        if compression is not None:
            _unfold(body, compression)
    except ValidationError as error:
        return ", ".join(".".join(map(str, fault["loc"])) or "it" for fault in error.errors())
    except Exception as error:  # noqa: BLE001 - whatever it is, kombu would end of it
        return type(error).__name__
    return None


def _unfold(body: Any, compression: Any) -> None:
    unfold = _UNFOLD[compression]()
    raw = body.encode() if isinstance(body, str) else body
    if len(unfold.decompress(raw, MOST_BYTES)) >= MOST_BYTES:
        raise OverflowError(f"more than {MOST_BYTES} bytes")


def store_unopenable(transport: Any, store: StoreBytes) -> None:
    """Make a Redis transport's channels hand over what they cannot open; call it unconnected."""
    channel = transport.Channel
    if hasattr(channel, "_brpop_read"):
        transport.Channel = type(
            "Channel", (_StoringChannel, channel), {"store": staticmethod(store)}
        )


class _StoringChannel:
    store: StoreBytes
    client: Any

    def _brpop_read(self, **options: Any) -> Any:
        read = self.client.parse_response

        def only_messages(*args: Any, **kwargs: Any) -> Any:
            popped = read(*args, **kwargs)
            if not popped:
                return popped
            queue, entry = popped
            fault = fault_of(entry, self)
            if fault is None:
                return popped
            self.store(entry, queue.decode(errors="replace"), fault)
            # As where nothing came in time.
            return None

        self.client.parse_response = only_messages
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        finally:
            self.client.parse_response = read

    def _receive_one(self, client: Any) -> Any:
        read = client.parse_response

        def only_messages(*args: Any, **kwargs: Any) -> Any:
            response = read(*args, **kwargs)
            if isinstance(response, list | tuple) and response and isinstance(response[-1], bytes):
                fault = fault_of(response[-1], self)
                if bytes_to_str(response[0]).endswith("message") and fault is not None:
                    # A broadcast is said to whoever listens; none is owed to anybody.
                    _log.error("broadcast_unreadable", fault=fault, bytes=len(response[-1]))
                    return None
            return response

        client.parse_response = only_messages
        try:
            return super()._receive_one(client)  # type: ignore[misc]
        finally:
            client.parse_response = read
