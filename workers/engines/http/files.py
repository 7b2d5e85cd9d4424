"""Files of results: where they are read, and what their lines come to."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

import httpx2

from tierqueue.workers.engines.batches import BatchOutput, ResultLine
from tierqueue.workers.engines.http import wire

MOST_BYTES = 2 << 30
"""The largest file that is read."""

MOST_HOPS = 3
"""How often a file may stand elsewhere than it was said to."""


def segment(name: str) -> str:
    """An id of a provider's as a part of a path, whatever stands in it."""
    return quote(name, safe="")


async def elsewhere(response: httpx2.Response, seconds: float) -> httpx2.Response:
    """The file that a provider says stands elsewhere, as those do that hand out addresses of a
    store for a while; read without the key, over TLS or at the same host.

    Raises ``httpx2.HTTPStatusError`` for a ``response`` that says no such thing.
    """
    async with wire.http_client() as client:
        for _ in range(MOST_HOPS):
            where = response.headers.get("location") if response.is_redirect else None
            url = None if where is None else response.url.join(where)
            same = url is not None and (url.scheme, url.host) == (
                response.url.scheme,
                response.url.host,
            )
            if url is None or not (same or url.scheme == "https"):
                break
            response = await client.get(url, timeout=seconds)
            if response.is_success:
                return response
    response.raise_for_status()
    raise httpx2.HTTPStatusError("no file", request=response.request, response=response)


async def read(
    names: Sequence[str],
    content: Callable[[str], Awaitable[httpx2.Response]],
    line_of: Callable[[bytes], ResultLine | None],
) -> BatchOutput:
    """Every line of these files, of up to ``MOST_BYTES`` each: ``content`` is asked for a file, and
    ``line_of`` for a line of it (``None``: it cannot be read). Simulated is what any of them is.
    """
    token = wire.MOST.set(MOST_BYTES)
    try:
        contents = [await content(name) for name in names]
    finally:
        wire.MOST.reset(token)
    found: list[ResultLine] = []
    broken, simulated = 0, False
    for response in contents:
        simulated = simulated or wire.simulated(response)
        for text in response.content.split(b"\n"):
            if text.strip():
                line = line_of(text)
                broken += line is None
                found += [] if line is None else [line]
    return BatchOutput(found, broken, simulated)
