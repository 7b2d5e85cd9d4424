"""What is sent to a provider, and how its usage and its headers are read."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.engines.engine_asked import GOOD, both, played
from tests.workers.engines.engine_calls import (
    SCHEMA,
    a_call,
    read_request,
    replies,
)
from tierqueue.router.outcome import Completed, Reply, Unknown
from tierqueue.router.retry import LONGEST_WAIT
from tierqueue.workers.engines.anthropic import CACHED_FROM_BYTES
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.http import wire


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
@pytest.mark.parametrize("item", ["größe-1", "a\nb", " x ", "tab\t", "50%", "id 😀", "x" * 9_000])
def test_an_item_may_have_any_id(kind: str, item: str) -> None:
    head, _ = sent_by(kind, a_call("m", item=item))
    (line,) = [line for line in head.splitlines() if line.startswith("x-tierqueue-item: ")]
    value = line.removeprefix("x-tierqueue-item: ")
    assert value.isascii()
    assert unquote(value) == item[:256]


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
def test_a_billed_reply_without_an_answer_is_an_empty_answer_at_its_exact_usage(
    kind: str,
) -> None:
    reply = usage_of(kind, GOOD[kind]["usage"], choices=[], content=[])
    assert isinstance(reply, Completed)
    assert (reply.text, reply.finish) == ("", "stop")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (10, 5)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "1e300"}, LONGEST_WAIT),
        ({"retry-after-ms": "1e300"}, LONGEST_WAIT),
        ({"retry-after-ms": "-5", "retry-after": "3"}, 3.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST_WAIT),
        ({"retry-after": "Mon, 01 Jan 1900 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 01 Jan 0001 00:00:00 +2359"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 2026 23:59:59 +9999"}, None),
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


@given(st.text(), st.text(), st.datetimes())
def test_no_header_asks_for_more_than_a_day(seconds: str, millis: str, now: datetime) -> None:
    headers = httpx2.Headers()
    for name, said in (("retry-after", seconds), ("retry-after-ms", millis)):
        headers[name] = said.encode("utf-8", "replace").decode("latin-1")
    wait = wire.retry_after(headers, now.replace(tzinfo=UTC))
    assert wait is None or 0 <= wait <= LONGEST_WAIT
