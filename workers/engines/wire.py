"""What a provider's HTTP reply, or its absence, says about the call and its bill."""

import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

TRANSIENT_4XX = frozenset({408, 409, 425})

GATEWAY_LOST = frozenset({502, 504, 520, 524})
"""A gateway passed the request on and got no whole reply: without the provider's own error in the
body, nobody can say that the call was not served and billed."""


class Unreadable(Exception):
    """A reply lacks what its protocol promises; the message names the field, never its content."""


@dataclass(slots=True)
class Sending:
    """Whether any byte of the request can have left: before that, nothing can be billed."""

    begun: bool = False


SENDING: ContextVar[Sending] = ContextVar("SENDING")


async def _watch(event: str, _info: Mapping[str, Any]) -> None:
    if event.endswith("send_request_headers.started"):
        SENDING.get().begun = True


async def _mark(request: httpx2.Request) -> None:
    request.extensions = {**request.extensions, "trace": _watch}


def http_client() -> httpx2.AsyncClient:
    """A client that notes in ``SENDING`` when a request leaves.

    It follows no redirect: the payload would go where no policy sent it. It bounds no
    connections: the worker's own limits do, and a queue in here would eat the call's timeout.
    """
    return httpx2.AsyncClient(
        event_hooks={"request": [_mark]},
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=256),
    )


def retry_after(headers: httpx2.Headers, now: datetime | None = None) -> float | None:
    """The wait in seconds that ``retry-after-ms`` or ``retry-after`` (seconds or a date) asks for;
    ``None`` where neither can be read.
    """
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / divisor
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


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


def count(holder: Mapping[str, Any], key: str, *, required: bool = False) -> int:
    """The token count at ``key``; a missing or null one is 0, unless it is ``required``.

    Raises ``Unreadable`` for anything that is not a whole number from 0 up.
    """
    value = holder.get(key)
    if value is None and not required:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Unreadable(f"{key} is not a token count")
    return value


def table(holder: Mapping[str, Any], key: str, *, required: bool = False) -> dict[str, Any]:
    """The object at ``key``; a missing or null one is empty, unless it is ``required``."""
    value = holder.get(key)
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"{key} is not an object")
    return value


def text(holder: Mapping[str, Any], key: str) -> str | None:
    """The string at ``key``, or ``None``."""
    value = holder.get(key)
    return value if isinstance(value, str) else None
