"""A message batch is looked for wherever it may stand, and never taken for none.

The SDK is the real one, over a transport that answers as the test says.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import anthropic
import httpx2
import pytest

from tierqueue.workers.engines.anthropic_batches import AnthropicBatches
from tierqueue.workers.engines.batches import NotKnownYet, RemoteBatch

COUNTS = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}


def batch(name: str, size: int = 2) -> dict[str, Any]:
    """A batch that has ended as Anthropic tells of it."""
    return {
        "id": name,
        "type": "message_batch",
        "processing_status": "ended",
        "request_counts": COUNTS | {"errored": size - 1},
        "created_at": "2100-01-01T00:00:00Z",
        "results_url": "there",
    }


def found(pages: Mapping[str | None, Any]) -> RemoteBatch | None:
    """The batch of the requests ``a`` and ``b`` in a list of these pages, by what each is after."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/ours/results"):
            return httpx2.Response(200, json={"custom_id": "b", "result": {"type": "expired"}})
        return httpx2.Response(200, json=pages[request.url.params.get("after_id")])

    async def ask() -> RemoteBatch | None:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
            client = anthropic.AsyncAnthropic(
                base_url="http://host", api_key="k", max_retries=0, http_client=http
            )
            return await AnthropicBatches(client).find("ours", None, 1e9, ("a", "b"), ())

    return asyncio.run(ask())


def test_a_batch_is_looked_for_on_every_page() -> None:
    first = {"data": [batch("x", 3)], "has_more": True, "last_id": "x"}
    last = {"data": [batch("ours")], "has_more": False, "last_id": "ours"}
    ours = found({None: first, "x": last})
    assert ours is not None
    assert ours.id == "ours"
    assert found({None: first | {"has_more": False}}) is None


@pytest.mark.parametrize("data", [[], [batch("x", 3)]])
def test_a_list_that_has_more_and_does_not_show_it_says_nothing_of_a_batch(data: Any) -> None:
    page = {"data": data, "has_more": True, "last_id": None}
    with pytest.raises(NotKnownYet):
        found({None: page, "x": page})


def test_a_list_without_an_end_is_not_looked_through_for_ever() -> None:
    turns = [{"data": [batch(name, 3)], "has_more": True} for name in ("x", "y")]
    with pytest.raises(NotKnownYet):
        found({None: turns[0], "x": turns[1], "y": turns[0]})
