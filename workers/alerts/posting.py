"""One message posted to an address: JSON there, a status back; nothing is followed or read."""

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit


class HookFailed(Exception):
    """The command or the address did not take the message."""


def post(address: str, body: bytes, headers: Mapping[str, str], seconds: float) -> None:
    """Post JSON; raises ``HookFailed`` for whatever is no 2xx within ``seconds``.

    The address may be a secret itself: an error tells its kind alone.
    """
    url = urlsplit(address)
    assert url.hostname is not None
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname, url.port, timeout=seconds)
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise HookFailed(type(error).__name__) from None
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise HookFailed(f"status {status}")
