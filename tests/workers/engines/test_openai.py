"""What the engine for chat completions does of its own: a refusal of log-probabilities."""

import asyncio
import json
from typing import Any

import pytest

from tests.workers.engines.engine_asked import GOOD
from tests.workers.engines.engine_calls import a_call, an_endpoint, read_request
from tierqueue.router.outcome import Completed, Failed, Reply
from tierqueue.workers.engines.openai import OpenAIEngine

REFUSED: dict[str, tuple[int, Any]] = {
    "OpenAI": (
        400,
        {
            "error": {
                "message": "Unsupported parameter: 'logprobs' is not supported with this model.",
                "type": "invalid_request_error",
                "param": "logprobs",
                "code": "unsupported_parameter",
            }
        },
    ),
    "OpenAI, not allowed": (
        403,
        {"error": {"message": "You are not allowed to request logprobs from this model"}},
    ),
    "Mistral": (
        422,
        {
            "object": "error",
            "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_logprobs"]}]},
            "type": "invalid_request_error",
        },
    ),
    "Gemini": (
        400,
        [{"error": {"code": 400, "message": 'Unknown name "logprobs": Cannot find field.'}}],
    ),
}


def asked_of(
    calls: list[Any], refused: tuple[int, Any], *, always: bool = False, what: str = "logprobs"
) -> tuple[list[Reply], list[dict[str, Any]]]:
    """What comes of ``calls``, one after the other, at a host that refuses ``what``, or everything;
    and the bodies that it was sent.
    """
    bodies: list[dict[str, Any]] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                request = await read_request(reader)
            except asyncio.IncompleteReadError:
                return
            bodies.append(json.loads(request.split(b"\r\n\r\n", 1)[1]))
            status, body = refused if always or bodies[-1].get(what) else (200, GOOD["openai"])
            said = json.dumps(body).encode()
            head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(said)}\r\n\r\n".encode() + said)
            await writer.drain()

    async def all_calls() -> list[Reply]:
        async with an_endpoint(play) as address:
            engine = OpenAIEngine(
                deployment="d",
                base_url=address,
                key="k",
                simulated=False,
                metered=True,
                prompt_cache="key",
            )
            await engine.start()
            try:
                return [await engine.complete(call) for call in calls]
            finally:
                await engine.close()

    return asyncio.run(all_calls()), bodies


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
def test_who_refuses_log_probabilities_is_asked_without_them_and_not_for_them_again(
    refused: tuple[int, Any],
) -> None:
    replies, bodies = asked_of([a_call("m", alternatives=20)] * 2, refused)
    assert all(isinstance(reply, Completed) and reply.tokens == () for reply in replies), replies
    assert ["logprobs" in body for body in bodies] == [True, False, False]


def test_another_refusal_is_a_refusal_and_nothing_is_remembered() -> None:
    other = (400, {"error": {"message": "bad request", "type": "invalid_request_error"}})
    replies, bodies = asked_of([a_call("m", alternatives=20)] * 2, other, always=True)
    assert all(isinstance(reply, Failed) for reply in replies), replies
    assert ["logprobs" in body for body in bodies] == [True, True]


def test_a_request_that_is_refused_either_way_is_a_refusal_and_nothing_is_remembered() -> None:
    refused = REFUSED["OpenAI"]
    replies, bodies = asked_of([a_call("m", alternatives=20)] * 2, refused, always=True)
    assert all(isinstance(reply, Failed) for reply in replies), replies
    assert ["logprobs" in body for body in bodies] == [True, False, True, False]


def test_what_an_error_quotes_of_the_item_decides_nothing() -> None:
    quoted = (400, {"error": {"message": "cannot read: what are logprobs?"}})
    replies, bodies = asked_of([a_call("m", "what are LOGPROBS?", alternatives=20)], quoted)
    assert isinstance(replies[0], Failed)
    assert len(bodies) == 1


def test_who_refuses_the_key_of_a_cache_is_asked_without_it_and_not_with_it_again() -> None:
    refused = (422, {"detail": [{"loc": ["body", "prompt_cache_key"], "msg": "extra"}]})
    calls = [a_call("m", prefix="The handbook. " * 100, alternatives=20)] * 2
    replies, bodies = asked_of(calls, refused, what="prompt_cache_key")
    assert all(isinstance(reply, Completed) for reply in replies), replies
    assert ["prompt_cache_key" in body for body in bodies] == [True, False, False]
    assert all("logprobs" in body for body in bodies)
