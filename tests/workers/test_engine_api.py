"""What a provider's replies and silences are taken for: each kind of engine, each kind of end."""

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from tests.workers.engine_calls import (
    SCHEMA,
    Play,
    a_call,
    a_sandbox,
    an_endpoint,
    read_request,
    replies,
)
from tierqueue.router.outcome import Completed, Failed, Reply, Throttled, Unknown
from tierqueue.workers.engine import Call
from tierqueue.workers.engines import wire
from tierqueue.workers.engines.anthropic import CACHED_FROM_BYTES, AnthropicEngine
from tierqueue.workers.engines.openai import OpenAIEngine

KINDS: dict[str, Any] = {"openai": OpenAIEngine, "anthropic": AnthropicEngine}
MODELS = {"openai": "frontier-mini", "anthropic": "frontier-large"}
both = pytest.mark.parametrize("kind", list(KINDS))
SECRET = "sk-not-to-be-logged"

GOOD: dict[str, Any] = {
    "openai": {
        "model": "served",
        "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    },
    "anthropic": {
        "model": "served",
        "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    },
}


def asked(kind: str, address: str, call: Call | None = None, **told: Any) -> Reply:
    """What one engine says of one call to ``address``."""

    async def once() -> Reply:
        stated = {"deployment": "d", "key": SECRET, "simulated": True, "metered": True, **told}
        engine = KINDS[kind](base_url=address, **stated)
        await engine.start()
        try:
            reply: Reply = await engine.complete(call or a_call(MODELS[kind], timeout=10.0))
            return reply
        finally:
            await engine.close()

    return asyncio.run(once())


def played(kind: str, play: Play, call: Call | None = None, **told: Any) -> Reply:
    """What one engine says of one call to an endpoint that behaves like ``play``."""

    async def once() -> Reply:
        async with an_endpoint(play) as address:
            stated = {"deployment": "d", "key": SECRET, "simulated": False, "metered": True}
            engine = KINDS[kind](base_url=address, **{**stated, **told})
            await engine.start()
            try:
                reply: Reply = await engine.complete(call or a_call("m", timeout=10.0))
                return reply
            finally:
                await engine.close()

    return asyncio.run(once())


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_sandbox(tmp_path_factory.mktemp("sandbox")) as address:
        yield address


def at(kind: str, sandbox: str, marker: str) -> Reply:
    url = f"{sandbox}/v1" if kind == "openai" else sandbox
    return asked(kind, url, a_call(MODELS[kind], f"{marker} Is it so?", timeout=10.0))


@both
def test_the_sandbox_says_that_it_is_a_simulation(kind: str, sandbox: str) -> None:
    reply = at(kind, sandbox, "")
    assert isinstance(reply, Completed)
    assert reply.simulated


@both
def test_too_many_requests_is_throttled_for_as_long_as_asked(kind: str, sandbox: str) -> None:
    assert at(kind, sandbox, "[[sandbox:429 after=7]]") == Throttled(after=7.0)
    assert at(kind, sandbox, "[[sandbox:429]]") == Throttled(after=None)


@both
def test_a_server_error_may_be_tried_again_and_a_bad_request_never(kind: str, sandbox: str) -> None:
    broken, refused = (
        at(kind, sandbox, "[[sandbox:500]]"),
        at(kind, sandbox, "[[sandbox:bad_request]]"),
    )
    assert isinstance(broken, Failed)
    assert broken.transient
    assert isinstance(refused, Failed)
    assert not refused.transient


@both
def test_a_reply_that_is_garbage_or_lost_leaves_the_charge_unknown(kind: str, sandbox: str) -> None:
    assert isinstance(at(kind, sandbox, "[[sandbox:garbage]]"), Unknown)
    lost = at(kind, sandbox, "[[sandbox:charged_lost]]")
    assert isinstance(lost, Unknown)
    assert lost.kind == "connection_lost"


@both
def test_a_truncated_answer_is_completed_and_says_so(kind: str, sandbox: str) -> None:
    reply = at(kind, sandbox, "[[sandbox:truncated]]")
    assert isinstance(reply, Completed)
    assert reply.finish == "length"


@both
def test_a_simulation_that_the_policy_does_not_declare_is_refused(kind: str, sandbox: str) -> None:
    url = f"{sandbox}/v1" if kind == "openai" else sandbox
    for marker in ("", "[[sandbox:500]]"):
        reply = asked(kind, url, a_call(MODELS[kind], marker + "?"), simulated=False)
        assert isinstance(reply, Failed)
        assert reply.kind == "undeclared_simulation"
        assert not reply.transient
        assert "deployment d is a simulation and the policy does not declare it" in reply.message


def an_error(code: str | None = None, kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": "You wrote: my secret prompt", "code": code, "type": kind}}


PERMANENT = [400, 401, 402, 403, 404, 413, 422]


@both
@pytest.mark.parametrize("status", PERMANENT)
def test_what_is_wrong_with_the_request_fails_for_good(kind: str, status: int) -> None:
    reply = played(kind, replies(status, an_error("some_code")))
    assert isinstance(reply, Failed)
    assert not reply.transient
    assert reply.kind == f"http_{status}"
    assert reply.message == f"d: HTTP {status}, some_code"


@both
@pytest.mark.parametrize("status", [408, 409, 500, 502, 504])
def test_what_the_provider_itself_says_went_wrong_may_be_tried_again(
    kind: str, status: int
) -> None:
    reply = played(kind, replies(status, an_error(kind="server_error")))
    assert isinstance(reply, Failed)
    assert reply.transient


@both
@pytest.mark.parametrize("status", [502, 504, 520, 524])
def test_a_gateway_that_lost_the_reply_leaves_the_charge_unknown(kind: str, status: int) -> None:
    reply = played(kind, replies(status, b"<html>upstream timed out</html>"))
    assert isinstance(reply, Unknown)
    assert reply.kind == "gateway"


@both
@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_an_empty_account_is_no_throttling(kind: str, code: str) -> None:
    reply = played(kind, replies(429, an_error(code), {"retry-after": "1"}))
    assert isinstance(reply, Failed)
    assert not reply.transient


@pytest.mark.parametrize("status", [503, 529])
def test_an_overloaded_anthropic_is_throttled(status: int) -> None:
    reply = played("anthropic", replies(status, an_error(kind="overloaded_error")))
    assert reply == Throttled(after=None)
    assert isinstance(played("openai", replies(status, an_error())), Failed)


@both
def test_a_redirect_is_not_followed(kind: str) -> None:
    async def once() -> tuple[Reply, list[int]]:
        reached: list[int] = []

        async def elsewhere(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            reached.append(len(await reader.read(1)))

        async with (
            an_endpoint(elsewhere) as other,
            an_endpoint(replies(307, {}, {"location": f"{other}/v1/messages"})) as address,
        ):
            engine = KINDS[kind](
                deployment="d", base_url=address, key="k", simulated=False, metered=True
            )
            await engine.start()
            reply = await engine.complete(a_call("m"))
            await engine.close()
        return reply, reached

    reply, reached = asyncio.run(once())
    assert isinstance(reply, Failed)
    assert not reply.transient
    assert reached == []


@both
def test_a_refused_connection_was_certainly_not_billed(kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reply = asked(kind, f"http://127.0.0.1:{port}")
    assert isinstance(reply, Failed)
    assert reply.kind == "unreachable"
    assert reply.transient


@both
def test_a_failed_tls_handshake_was_certainly_not_billed(kind: str) -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async def once() -> Reply:
        async with an_endpoint(no_tls) as address:
            url = address.replace("http:", "https:")
            engine = KINDS[kind](
                deployment="d", base_url=url, key="k", simulated=False, metered=True
            )
            await engine.start()
            try:
                reply: Reply = await engine.complete(a_call("m", timeout=10.0))
                return reply
            finally:
                await engine.close()

    reply = asyncio.run(once())
    assert isinstance(reply, Failed), reply
    assert reply.kind == "unreachable"
    assert reply.transient


async def cut_after_the_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.transport.abort()


async def cut_in_the_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
    await writer.drain()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.sleep(60)


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


LOST = {
    "cut after the request": (cut_after_the_request, "connection_lost"),
    "cut in the body": (cut_in_the_body, "connection_lost"),
    "no reply in time": (silent, "timeout"),
    "a reply that drips": (dripping, "timeout"),
    "not JSON": (replies(200, b"<html>hello</html>"), "garbage"),
    "no usage": (replies(200, {"choices": [], "content": []}), "garbage"),
    "a usage in words": (
        replies(200, {"usage": {"prompt_tokens": "many", "input_tokens": "many"}}),
        "garbage",
    ),
}


@both
@pytest.mark.parametrize("how", list(LOST))
def test_a_reply_lost_after_the_request_was_sent_is_unknown(kind: str, how: str) -> None:
    play, expected = LOST[how]
    reply = played(kind, play, a_call("m", timeout=0.5))
    assert isinstance(reply, Unknown)
    assert reply.kind == expected


@both
def test_a_reply_lost_by_the_house_is_failed_and_charged_engine_time(kind: str) -> None:
    reply = played(kind, silent, a_call("m", timeout=0.2), metered=False)
    assert isinstance(reply, Failed)
    assert reply.transient
    assert reply.usage.engine_seconds == pytest.approx(0.2, abs=0.15)


@both
def test_a_surprise_after_sending_is_unknown_and_loud_without_the_payload(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprised(response: httpx2.Response) -> dict[str, Any]:
        raise LookupError(response.text)

    monkeypatch.setattr(wire, "body_of", surprised)
    reply = played(kind, replies(200, GOOD[kind]))
    assert isinstance(reply, Unknown)
    assert reply.kind == "unexpected"
    said = capsys.readouterr()
    assert "engine.unexpected" in said.out + said.err
    assert "LookupError" in said.out + said.err
    assert "yes" not in reply.message + said.out + said.err


@both
def test_a_request_that_cannot_be_written_was_not_sent(kind: str) -> None:
    call = a_call("m", labels={"attempt": "1\r\nx-other: 2"})
    reply = played(kind, replies(200, GOOD[kind]), call)
    assert isinstance(reply, Failed)
    assert not reply.transient


@both
def test_neither_prompt_nor_key_is_logged_at_any_level(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    call = a_call("m", "the customer's own words", schema=SCHEMA)
    for play in (replies(200, GOOD[kind]), replies(400, an_error()), cut_after_the_request):
        played(kind, play, call)
    assert "customer" not in caplog.text
    assert "secret prompt" not in caplog.text
    assert SECRET not in caplog.text


def sent_by(kind: str, call: Call, **told: Any) -> tuple[str, dict[str, Any]]:
    """The head and the body of the request that ``call`` becomes."""
    seen: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.transport.abort()

    played(kind, keep, call, **told)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    return head.decode().lower(), json.loads(body)


@both
def test_item_fence_and_labels_travel_as_headers_and_nothing_is_retried(kind: str) -> None:
    head, body = sent_by(kind, a_call("m", item="i-7", fence=3, labels={"attempt": "a-9"}))
    assert "x-tierqueue-item: i-7\r\n" in head + "\r\n"
    assert "x-tierqueue-fence: 3" in head
    assert "x-tierqueue-attempt: a-9" in head
    assert "x-stainless-retry-count: 0" in head
    assert body["model"] == "m"


def test_openai_gets_system_then_prefix_then_question_and_a_strict_schema() -> None:
    _, body = sent_by("openai", a_call("m", schema=SCHEMA))
    call = a_call("m")
    assert body["messages"] == [
        {"role": "system", "content": call.system},
        {"role": "user", "content": call.prefix + call.question},
    ]
    assert body["response_format"]["json_schema"] == {
        "name": "ticket",
        "schema": SCHEMA,
        "strict": True,
    }
    assert body["max_tokens"] == 64
    assert "max_completion_tokens" not in body


def test_anthropic_caches_the_shared_part_only_where_it_is_long() -> None:
    _, short = sent_by("anthropic", a_call("m", schema=SCHEMA))
    assert short["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert short["messages"][0]["content"] == [
        {"type": "text", "text": a_call("m").prefix},
        {"type": "text", "text": a_call("m").question},
    ]
    _, long = sent_by("anthropic", a_call("m", prefix="x" * CACHED_FROM_BYTES))
    shared, question = long["messages"][0]["content"]
    assert shared["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert "cache_control" not in question


def usage_of(kind: str, usage: dict[str, Any], **changed: Any) -> Reply:
    return played(kind, replies(200, {**GOOD[kind], "usage": usage, **changed}))


def test_openai_usage_becomes_classes_that_do_not_overlap() -> None:
    reply = usage_of(
        "openai",
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        service_tier="flex",
    )
    assert isinstance(reply, Completed)
    usage = reply.usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_5m_tokens) == (
        10,
        60,
        30,
    )
    assert (usage.output_tokens, usage.reasoning_tokens) == (50, 20)
    assert usage.total_input == 100
    assert usage.service_tier == "flex"


def test_reasoning_that_a_provider_leaves_out_of_the_completion_is_counted() -> None:
    reply = usage_of(
        "openai",
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 45,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
    )
    assert isinstance(reply, Completed)
    assert (reply.usage.output_tokens, reply.usage.reasoning_tokens) == (35, 30)


def test_anthropic_usage_keeps_its_cache_classes() -> None:
    reply = usage_of(
        "anthropic",
        {
            "input_tokens": 10,
            "cache_read_input_tokens": 20,
            "cache_creation_input_tokens": 70,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40},
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 5},
            "service_tier": "standard",
        },
    )
    assert isinstance(reply, Completed)
    usage = reply.usage
    assert usage.total_input == 100
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (30, 40)
    assert usage.reasoning_tokens == 5


@pytest.mark.parametrize(
    ("kind", "usage"),
    [
        ("openai", {"prompt_tokens": 1, "completion_tokens": -1}),
        ("openai", {"prompt_tokens": True, "completion_tokens": 1}),
        (
            "openai",
            {
                "prompt_tokens": 1,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 2},
            },
        ),
        (
            "anthropic",
            {
                "input_tokens": 1,
                "output_tokens": 1,
                "cache_creation_input_tokens": 5,
                "cache_creation": {"ephemeral_5m_input_tokens": 1},
            },
        ),
    ],
)
def test_a_usage_that_does_not_add_up_leaves_the_charge_unknown(
    kind: str, usage: dict[str, Any]
) -> None:
    assert isinstance(usage_of(kind, usage), Unknown)


def test_a_refusal_is_filtered_and_billed() -> None:
    choice = {"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}
    openai = usage_of("openai", GOOD["openai"]["usage"], choices=[choice])
    anthropic = usage_of("anthropic", GOOD["anthropic"]["usage"], content=[], stop_reason="refusal")
    for reply in (openai, anthropic):
        assert isinstance(reply, Completed)
        assert reply.finish == "filtered"
        assert reply.usage.output_tokens == 5


@both
def test_a_billed_reply_without_an_answer_fails_with_its_exact_usage(kind: str) -> None:
    reply = usage_of(kind, GOOD[kind]["usage"], choices=[], content=[])
    assert isinstance(reply, Failed)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (10, 5)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert wire.retry_after(httpx2.Headers(headers)) == seconds


def test_a_retry_after_date_is_seconds_from_now_and_never_negative() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for ahead, seconds in ((90, 90.0), (-90, 0.0)):
        date = format_datetime(now + timedelta(seconds=ahead), usegmt=True)
        assert wire.retry_after(httpx2.Headers({"retry-after": date}), now) == seconds
