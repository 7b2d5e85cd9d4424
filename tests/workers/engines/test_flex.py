"""The flex tier over the wire: what asks for it, and what each refusal of it means."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.workers.engines.engine_asked import asked
from tests.workers.engines.engine_calls import a_call, a_sandbox, an_endpoint, read_request
from tierqueue.router.outcome import Completed, FlexRefused, Reply, Throttled, Unavailable
from tierqueue.workers.engines.openai import OpenAIEngine

GOOD = {
    "model": "m",
    "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_sandbox(tmp_path_factory.mktemp("sandbox")) as address:
        yield f"{address}/v1"


def by_flex(sandbox: str, marker: str = "", model: str = "frontier-mini", **changed: Any) -> Reply:
    call = a_call(model, f"Where is my invoice? {marker}", **{"flex": True, **changed})
    return asked("openai", sandbox, call)


def test_the_reply_says_which_tier_served_it(sandbox: str) -> None:
    reply = by_flex(sandbox)
    assert isinstance(reply, Completed)
    assert reply.usage.service_tier == "flex"
    live = by_flex(sandbox, flex=False)
    assert isinstance(live, Completed)
    assert live.usage.service_tier is None


def test_a_reply_that_another_tier_served_says_so(sandbox: str) -> None:
    reply = by_flex(sandbox, "[[sandbox:not_flex]]")
    assert isinstance(reply, Completed)
    assert reply.usage.service_tier == "default"


def test_without_capacity_the_tier_refuses_for_now(sandbox: str) -> None:
    assert by_flex(sandbox, "[[sandbox:flex_full after=7]]") == FlexRefused(after=7.0)
    # What the flex tier lacks is no trouble of the others.
    assert isinstance(by_flex(sandbox, "[[sandbox:flex_full]]", flex=False), Completed)


def test_a_tier_that_does_not_take_the_model_refuses_for_good(sandbox: str) -> None:
    assert by_flex(sandbox, model="open-small") == FlexRefused(lasting=True)


def told(status: int, error: dict[str, Any]) -> Reply:
    """The reply to a call by the flex tier that meets this error."""
    return replies((status, {"error": error}))[0]


def replies(*answers: tuple[int, Any], asking: int = 1) -> list[Reply]:
    """The replies to so many calls by the flex tier, at an endpoint that gives these answers."""
    left = list(answers)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                await read_request(reader)
            except asyncio.IncompleteReadError:
                return
            status, body = left.pop(0)
            said = json.dumps(body).encode()
            head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(said)}\r\n\r\n".encode() + said)
            await writer.drain()

    async def all_calls() -> list[Reply]:
        async with an_endpoint(play) as address:
            engine = OpenAIEngine(
                deployment="d", base_url=address, key="k", simulated=False, metered=True
            )
            await engine.start()
            try:
                return [await engine.complete(a_call("m", flex=True)) for _ in range(asking)]
            finally:
                await engine.close()

    found = asyncio.run(all_calls())
    assert not left
    return found


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, {"message": "Resource Unavailable", "code": "resource_unavailable"}),
        (429, {"message": "The flex tier is at capacity", "type": "server_error"}),
        (503, {"message": "The model is overloaded.", "status": "UNAVAILABLE"}),
        (498, {"message": "Flex tier capacity exceeded", "code": "capacity_exceeded"}),
    ],
)
def test_each_vendor_s_word_for_no_capacity_is_known(status: int, error: dict[str, Any]) -> None:
    assert told(status, error) == FlexRefused()


def test_a_limit_per_minute_is_a_throttle_by_the_flex_tier_too() -> None:
    words = "Rate limit reached for gpt-x on requests per min (RPM): Limit 3, Used 3."
    assert isinstance(told(429, {"message": words, "code": "rate_limit_exceeded"}), Throttled)


def test_an_account_without_money_is_one_by_the_flex_tier_too() -> None:
    reply = told(429, {"message": "You exceeded your quota.", "code": "insufficient_quota"})
    assert isinstance(reply, Unavailable)
    assert reply.kind == "quota"


def test_what_was_refused_for_good_is_not_asked_again() -> None:
    unsupported = {"message": "Unsupported service_tier: flex", "type": "invalid_request_error"}
    found = replies((400, {"error": unsupported}), asking=3)
    assert found == [FlexRefused(lasting=True)] * 3


def test_a_bad_request_is_not_taken_for_a_refusal_of_the_tier() -> None:
    reply = told(400, {"message": "messages: must be a list", "type": "invalid_request_error"})
    assert not isinstance(reply, FlexRefused)
