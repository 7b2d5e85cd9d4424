"""A job's webhook: what is told of a job and when, and how it is signed.

The header ``Tierqueue-Signature`` is ``v1=`` and the HMAC-SHA256, in hexadecimal digits, of the
timestamp in ``Tierqueue-Timestamp`` (seconds since the epoch), a dot and the body.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tierqueue.ledger.operations.jobs import JobProgress
from tierqueue.ledger.results.webhooks import Webhook
from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.duration import MINUTE_US

STALLED_US = 10 * MINUTE_US
"""Microseconds in which no row has ended, after which a job counts as stalled."""

_PREFIX = "env:"
_HERE = ("127.0.0.1", "::1", "localhost")
_SECRET = 1_000
"""Most characters of a secret."""


def check(address: str, secret: str) -> None:
    """Raises ``InvalidItem`` for an address or a place of a secret that will not do."""
    url = urlsplit(address)
    try:
        url.port  # noqa: B018 - asked for its error
    except ValueError:
        raise InvalidItem("the webhook's port is no port") from None
    if not url.hostname or url.username or url.password:
        raise InvalidItem("a webhook is an https:// address without a login")
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _HERE):
        raise InvalidItem("a webhook is an https:// address, or http:// on this machine")
    if secret.startswith(_PREFIX) and len(secret) > len(_PREFIX):
        return
    if not Path(secret).is_absolute():
        raise InvalidItem(
            "a webhook's secret is where a routing stage finds it: env:NAME, or a file's whole path"
        )


def secret_at(place: str) -> bytes:
    """The secret at ``env:NAME`` or in a file; raises ``InvalidItem``, which does not hold it."""
    if place.startswith(_PREFIX):
        found = os.environ.get(place.removeprefix(_PREFIX), "")
    else:
        try:
            with Path(place).open(encoding="utf-8") as file:
                found = file.read(_SECRET + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidItem(
                f"the secret {place} cannot be read ({type(error).__name__})"
            ) from None
    found = found.strip()
    if not 16 <= len(found) <= _SECRET:
        raise InvalidItem(f"the secret {place} has not 16 to {_SECRET:,} characters here")
    return found.encode()


def signed(secret: bytes, body: bytes, seconds: int) -> Mapping[str, str]:
    """The headers that prove who tells, and when."""
    told = hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Tierqueue-Timestamp": str(seconds), "Tierqueue-Signature": f"v1={told}"}


def due_event(hook: Webhook, progress: JobProgress, now: int) -> str | None:
    """What a job has become, ``None`` while it gets on: `done`, `stopped` or `stalled`."""
    if progress.cancelled or (progress.complete and progress.over):
        return "done"
    if progress.stopped:
        return "stopped"
    moved = progress.ended != hook.ended
    return "stalled" if not moved and now - hook.moved_at > STALLED_US else None
