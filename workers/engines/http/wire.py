"""A provider's HTTP reply, or its absence: what it says about the call and its bill."""

import json
import math
import re
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Protocol
from urllib.parse import quote

import anyio
import httpx2

from tierqueue.router.retry import LONGEST_WAIT

_NAME = re.compile(r"[A-Za-z0-9@./~_][A-Za-z0-9_.:/@+~ -]{0,199}")

MOST_BYTES = 16 << 20
"""The largest reply that is read: some four million tokens of text."""

MOST: ContextVar[int] = ContextVar("MOST", default=MOST_BYTES)
"""The same for what is read in this context: files hold many replies."""

MOST_STREAMED_BYTES = 64 << 20
"""The largest stream of events: in it each token comes in an event of its own."""

MOST_PACKED_BYTES = 256 << 10
"""The largest one that is packed in a way nobody asked for; the size of what unpacks is unknown."""

_UNPACKED_AT_ONCE = 1 << 20
"""Bytes."""

NETWORK = (OSError, httpx2.TransportError, anyio.EndOfStream, anyio.BrokenResourceError)
"""What a network does; httpx2 lets some of anyio's TLS errors through unmapped."""

TRANSIENT_4XX = frozenset({408, 409, 425})

GATEWAY_LOST = frozenset({502, 504, 520, 524})
"""A gateway passed the request on and got no whole reply: without the provider's own error in the
body, nobody can say that the call was not served and billed."""

OVERLOADED = 529
"""The status with which Anthropic and others say that they have too much to do."""

MOST_OF_A_HEADER = 256
"""Characters of a value; each may become twelve."""

_VISIBLE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


class Unreadable(Exception):
    """A reply lacks what its protocol promises; the message names the field, never its content."""


class TooLate(Exception):
    """The request was ready to leave after the time by which it had to."""


@dataclass(slots=True)
class SendState:
    """Whether any byte of the request can have left: before that, nothing can be billed.

    ``late``: it was not let go, since ``by`` (monotonic seconds) had passed.
    """

    by: float = math.inf
    begun: bool = False
    late: bool = False


SENDING: ContextVar[SendState] = ContextVar("SENDING")


class RequestRecorded(Exception):
    """The request was written down and not sent."""


RECORDED: ContextVar[list[bytes] | None] = ContextVar("RECORDED", default=None)
"""Where the bodies of requests go that are not to be sent."""


class FirstTokenListener(Protocol):
    """Who waits for the first token of a stream."""

    def __call__(self, chunk: bytes) -> None:
        """Listen to the next bytes."""

    def over(self) -> None:
        """The reply is no stream."""


LISTENER: ContextVar[FirstTokenListener | None] = ContextVar("LISTENER", default=None)
"""Who listens to the reply of the call in this context."""


async def _note_begin(event: str, _info: Mapping[str, Any]) -> None:
    if event.endswith("send_request_headers.started"):
        sending = SENDING.get(None)
        if sending is None:  # no call, and so nothing that could be billed
            return
        if time.monotonic() > sending.by:
            sending.late = True
            raise TooLate
        sending.begun = True


async def _mark(request: httpx2.Request) -> None:
    if (into := RECORDED.get()) is not None:
        into.append(request.content)
        raise RequestRecorded
    request.extensions = {**request.extensions, "trace": _note_begin}


class TooLarge(httpx2.ReadError):
    """A reply has more bytes than any answer."""


class _BoundedStream(httpx2.AsyncByteStream):
    """A reply's bytes, unpacked where it is gzip's, up to a limit."""

    def __init__(
        self,
        stream: httpx2.AsyncByteStream,
        most: int,
        listener: FirstTokenListener | None,
        gzip: bool,
    ) -> None:
        self._stream = _unpacked(stream) if gzip else stream
        self._body = stream
        self._most = most
        self._listener = listener

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise TooLarge("the reply is too large")
            if self._listener is not None:
                self._listener(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


async def _unpacked(stream: httpx2.AsyncByteStream) -> AsyncIterator[bytes]:
    """Bit by bit: a few bytes that unpack to gigabytes are read no further than is allowed."""
    unpacking = None
    try:
        async for chunk in stream:
            rest = chunk
            while rest:
                if unpacking is None or unpacking.eof:
                    # Zeros may fill up what is packed.
                    if unpacking is not None and not (rest := rest.lstrip(b"\0")):
                        break
                    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
                yield unpacking.decompress(rest, _UNPACKED_AT_ONCE)
                rest = unpacking.unused_data if unpacking.eof else unpacking.unconsumed_tail
        # An error may come with no body at all.
        if unpacking is not None and not unpacking.eof:
            raise httpx2.DecodingError("the reply ends in the middle of what was packed")
    except zlib.error:
        raise httpx2.DecodingError("the reply is not packed as it says") from None


async def _bound(response: httpx2.Response) -> None:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    packed = response.headers.get("content-encoding", "").strip().lower()
    if packed == "gzip":
        # Unpacked here: httpx unpacks a chunk at once, whatever it unpacks to.
        del response.headers["content-encoding"]
    most = MOST.get() if packed in ("", "identity", "gzip") else MOST_PACKED_BYTES
    listener = LISTENER.get()
    if listener is not None and "text/event-stream" in response.headers.get("content-type", ""):
        most = max(most, MOST_STREAMED_BYTES)
    elif listener is not None:
        listener.over()
        listener = None
    response.stream = _BoundedStream(response.stream, most, listener, packed == "gzip")


def simulated(response: httpx2.Response) -> bool:
    """Whether the reply says of itself that it comes from a simulation."""
    return response.headers.get("x-simulated", "").lower() == "true"


def header(value: str) -> str:
    """``value`` as a header can carry it: visible ASCII as it is, the rest percent-encoded, and no
    more than a server's header line holds. An item's id may be any text its producer chose.
    """
    return quote(value[:MOST_OF_A_HEADER], safe=_VISIBLE)


@cache
def _trusted() -> ssl.SSLContext:
    # Read once a process: the certificates take tens of milliseconds of a processor each time.
    return httpx2.create_ssl_context()


def http_client() -> httpx2.AsyncClient:
    """A client that notes in ``SENDING`` when a request leaves, and bounds what comes back.

    It follows no redirect: the payload would go where no policy sent it. It bounds no
    connections: the worker's own limits do, and a queue in here would eat the call's timeout.
    """
    return httpx2.AsyncClient(
        event_hooks={"request": [_mark], "response": [_bound]},
        headers={"accept-encoding": "gzip"},
        follow_redirects=False,
        verify=_trusted(),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=256),
    )


def retry_after(headers: Mapping[str, Any], now: datetime | None = None) -> float | None:
    """The wait in seconds that ``retry-after-ms`` or ``retry-after`` (seconds or a date) asks for,
    at most ``LONGEST_WAIT``; ``None`` where neither can be read.
    """
    for name_of, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name_of, "")) / divisor
        except (TypeError, ValueError, OverflowError):
            continue
        if 0 <= seconds < float("inf"):
            return min(seconds, LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(str(headers.get("retry-after", "")))
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - (now or datetime.now(UTC))).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST_WAIT)


def json_of(response: httpx2.Response) -> Any:
    """The reply's JSON. Raises ``Unreadable`` when it is none, or nested beyond reason."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None


def body_of(response: httpx2.Response) -> dict[str, Any]:
    """The reply's JSON object. Raises ``Unreadable`` when it is none."""
    body = json_of(response)
    if not isinstance(body, dict):
        raise Unreadable("the body is not a JSON object")
    return body


def text(holder: Mapping[str, Any], key: str) -> str | None:
    """The string at ``key``, or ``None``. Halves of characters become the replacement character:
    no database and no terminal takes them.
    """
    value = holder.get(key)
    if not isinstance(value, str):
        return None
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def name(holder: Mapping[str, Any], key: str) -> str | None:
    """The name at ``key``, ``None`` where there is none, ``"?"`` for what is no name."""
    value = holder.get(key)
    if value is None or value == "":
        return None
    return value if isinstance(value, str) and _NAME.fullmatch(value) else "?"


def parts(holder: Mapping[str, Any], key: str) -> str:
    """The text at ``key``, whole or in parts that say of themselves that they are text."""
    value = holder.get(key)
    if not isinstance(value, list):
        return text(holder, key) or ""
    found = (part for part in value if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text(part, "text") or "" for part in found)
