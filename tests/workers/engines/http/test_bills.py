"""A bill that cannot be true is none: the hold is booked, and nothing else is believed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.engines.engine_asked import GOOD, both, played
from tests.workers.engines.engine_calls import a_call, replies
from tierqueue.router.outcome import Completed, Reply, Unavailable, Unknown, Usage
from tierqueue.workers.engines.anthropic import AnthropicEngine
from tierqueue.workers.engines.http import bills
from tierqueue.workers.engines.http.wire import Unreadable
from tierqueue.workers.engines.openai import OpenAIEngine

IN = {"openai": "prompt_tokens", "anthropic": "input_tokens"}
OUT = {"openai": "completion_tokens", "anthropic": "output_tokens"}
DETAILS = {
    "openai": ("completion_tokens_details", "reasoning_tokens"),
    "anthropic": ("output_tokens_details", "thinking_tokens"),
}


def billed(kind: str, usage: Any, **told: Any) -> Reply:
    body = {**GOOD[kind], "usage": usage}
    return played(kind, replies(200, json.dumps(body).encode()), **told)


def tokens(kind: str, asked: Any, said: Any, **more: Any) -> dict[str, Any]:
    return {IN[kind]: asked, OUT[kind]: said, **more}


UNTRUE: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "nothing": (0, 0, {"total_tokens": 0}),
    "no output": (10, 0, {}),
    "no input": (0, 5, {}),
    "negative": (10, -5, {}),
    "half a token": (10, 5.5, {}),
    "not a number": (10, float("nan"), {}),
    "infinite": (float("inf"), 5, {}),
    "beyond any window": (10, 10**9, {}),
    "beyond any integer": (10, 1e300, {}),
    "digits without end": (10, 10**4000, {}),
    "a truth value": (True, 5, {}),
    "a text": ("10", 5, {}),
    "a list": ([10], 5, {}),
    "a total below its parts": (10, 5, {"total_tokens": 14}),
    "a total in words": (10, 5, {"total_tokens": "15"}),
    "a total beyond any window": (10, 5, {"total_tokens": 10**12}),
}


@both
@pytest.mark.parametrize("what", list(UNTRUE))
def test_a_bill_that_cannot_be_true_leaves_the_charge_unknown(kind: str, what: str) -> None:
    asked, said, more = UNTRUE[what]
    reply = billed(kind, tokens(kind, asked, said, **more))
    assert isinstance(reply, Unknown), reply
    assert reply.kind == "unreadable_bill"


@both
@pytest.mark.parametrize("usage", [None, {}, [], "free", 7])
def test_a_vendors_reply_without_a_bill_leaves_the_charge_unknown(kind: str, usage: Any) -> None:
    reply = billed(kind, usage)
    assert isinstance(reply, Unknown)
    assert reply.kind == "unreadable_bill"


@both
def test_a_bill_for_far_less_than_was_sent_or_came_cannot_be_true(kind: str) -> None:
    long = a_call("m", "x" * 20_000)
    assert isinstance(played(kind, replies(200, GOOD[kind]), long), Unknown)
    body = json.dumps(GOOD[kind]).replace("yes", "y" * 20_000).encode()
    assert isinstance(played(kind, replies(200, body)), Unknown)


@both
def test_what_a_total_has_more_than_its_parts_is_output(kind: str) -> None:
    reply = billed(kind, tokens(kind, 20, 10, total_tokens=1030))
    assert isinstance(reply, Completed)
    assert reply.usage == Usage(input_tokens=20, output_tokens=1010, reasoning_tokens=1000)


@both
def test_reasoning_is_counted_once_inside_of_the_output_or_beside_it(kind: str) -> None:
    outer, inner = DETAILS[kind]
    for total, output in ((45, 35), (50, 40), (60, 50)):
        reply = billed(kind, tokens(kind, 10, 35, total_tokens=total, **{outer: {inner: 30}}))
        assert isinstance(reply, Completed)
        assert (reply.usage.output_tokens, reply.usage.reasoning_tokens) == (output, 30)
    assert isinstance(billed(kind, tokens(kind, 10, 5, **{outer: [6]})), Unknown)


def test_more_thinking_than_output_is_no_bill_where_thinking_is_always_part_of_it() -> None:
    usage = tokens("anthropic", 10, 5, output_tokens_details={"thinking_tokens": 6})
    assert isinstance(billed("anthropic", usage), Unknown)


REASONING: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    # https://docs.x.ai: counted apart from the completion, and in the total.
    "xAI": (
        {
            **tokens("openai", 12, 1, total_tokens=399),
            "completion_tokens_details": {"reasoning_tokens": 386},
        },
        (12, 387, 386),
    ),
    "xAI through a gateway that leaves the total out": (
        {**tokens("openai", 12, 1), "completion_tokens_details": {"reasoning_tokens": 386}},
        (12, 387, 386),
    ),
    "Gemini": (tokens("openai", 12, 3, total_tokens=300), (12, 288, 285)),
    "Perplexity": (
        tokens(
            "openai",
            108,
            3_256,
            total_tokens=3_364,
            citation_tokens=7_299,
            num_search_queries=74,
            reasoning_tokens=73_248,
        ),
        (108 + 7_299, 3_256 + 73_248, 73_248),
    ),
    "Perplexity with little reasoning": (
        tokens("openai", 108, 3_256, total_tokens=3_364, num_search_queries=1, reasoning_tokens=50),
        (108, 3_306, 50),
    ),
    "more than the completion and not in the total": (
        tokens("openai", 20, 5, total_tokens=25, reasoning_tokens=40),
        (20, 45, 40),
    ),
    "SGLang": (tokens("openai", 20, 35, total_tokens=55, reasoning_tokens=30), (20, 35, 30)),
    "DeepSeek": (
        {
            **tokens("openai", 20, 35, total_tokens=55),
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        (20, 35, 30),
    ),
    "at the top without a total": (tokens("openai", 20, 35, reasoning_tokens=30), (20, 65, 30)),
    "at the top and in the details": (
        {
            **tokens("openai", 20, 35, reasoning_tokens=30),
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        (20, 65, 30),
    ),
    "at the top and in the total": (
        tokens("openai", 20, 35, total_tokens=85, reasoning_tokens=30),
        (20, 65, 30),
    ),
    "none": (tokens("openai", 20, 35, reasoning_tokens=0), (20, 35, 0)),
    "null": (tokens("openai", 20, 35, reasoning_tokens=None), (20, 35, 0)),
}


@pytest.mark.parametrize("who", list(REASONING))
def test_reasoning_is_booked_wherever_a_provider_counts_it(who: str) -> None:
    usage, (asked, output, reasoning) = REASONING[who]
    reply = billed("openai", usage)
    assert isinstance(reply, Completed), reply
    used = reply.usage
    assert (used.total_input, used.output_tokens, used.reasoning_tokens) == (
        asked,
        output,
        reasoning,
    )


def test_a_count_at_the_top_that_is_none_is_no_bill() -> None:
    for odd in ("30", -1, 10**12, [3], True):
        for name in ("reasoning_tokens", "citation_tokens"):
            assert isinstance(billed("openai", tokens("openai", 20, 35, **{name: odd})), Unknown)


@both
def test_whole_numbers_are_whole_however_they_are_written(kind: str) -> None:
    reply = billed(kind, tokens(kind, 10.0, 5.0))
    assert isinstance(reply, Completed)
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (10, 5)
    assert isinstance(reply.usage.input_tokens, int)


@pytest.mark.parametrize(
    "kept",
    [
        {"prompt_tokens_details": {"cached_tokens": 6}},
        {"cached_tokens": 6},
        {"prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
    ],
)
def test_cache_reads_are_found_where_each_vendor_puts_them(kept: dict[str, Any]) -> None:
    reply = billed("openai", tokens("openai", 10, 5, **kept))
    assert isinstance(reply, Completed)
    assert (reply.usage.input_tokens, reply.usage.cache_read_tokens) == (4, 6)


def test_cache_writes_are_the_sum_of_their_kinds_where_no_sum_is_told() -> None:
    kinds = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40}
    reply = billed("anthropic", tokens("anthropic", 10, 5, cache_creation=kinds))
    assert isinstance(reply, Completed)
    assert reply.usage.total_input == 80


@both
@pytest.mark.parametrize("usage", [None, "zero"])
def test_a_house_server_that_counts_nothing_is_served_and_its_tokens_are_an_estimate(
    kind: str, usage: str | None
) -> None:
    told = tokens(kind, 0, 0) if usage else None
    reply = billed(kind, told, metered=False)
    assert isinstance(reply, Completed)
    assert reply.text == "yes"
    assert reply.usage.estimated
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (19, 1)
    assert reply.usage.engine_seconds > 0
    honest = billed(kind, tokens(kind, 10, 5), metered=False)
    assert isinstance(honest, Completed)
    assert not honest.usage.estimated


@both
def test_an_empty_answer_may_have_no_output(kind: str) -> None:
    body = json.dumps({**GOOD[kind], "usage": tokens(kind, 10, 0)}).replace("yes", "").encode()
    reply = played(kind, replies(200, body))
    assert isinstance(reply, Completed)
    assert reply.text == ""


@both
def test_an_answer_that_the_provider_broke_off_is_billed_and_tried_again(kind: str) -> None:
    body = json.dumps(GOOD[kind])
    for said in ("error", "abort", "insufficient_system_resource", "network_error"):
        broken = body.replace('"stop"', f'"{said}"').replace('"end_turn"', f'"{said}"')
        reply = played(kind, replies(200, broken.encode()))
        assert isinstance(reply, Unavailable)
        assert reply.kind == "reply_lost"
        assert reply.usage == Usage(input_tokens=10, output_tokens=5)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
FIELDS = (
    *("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"),
    *("cached_tokens", "prompt_cache_hit_tokens", "prompt_tokens_details", "cache_creation"),
    *("completion_tokens_details", "output_tokens_details", "cache_creation_input_tokens"),
    *("cache_read_input_tokens", "cost", "reasoning_tokens", "citation_tokens"),
)


@pytest.mark.long
@given(st.dictionaries(st.sampled_from(FIELDS), st.integers(-2, 40) | ANY))
def test_any_usage_is_either_no_bill_or_sane_in_every_class(usage: dict[str, Any]) -> None:
    told: dict[str, Any] = {"deployment": "d", "key": "k", "simulated": False, "metered": True}
    for engine in (OpenAIEngine(base_url=None, **told), AnthropicEngine(base_url=None, **told)):
        try:
            read = engine._bill({"usage": usage})
            bills.check(read, a_call("m"), "yes")
        except Unreadable:
            continue
        classes = (
            *(read.input_tokens, read.cache_read_tokens, read.cache_write_5m_tokens),
            *(read.cache_write_1h_tokens, read.output_tokens, read.reasoning_tokens),
        )
        assert all(isinstance(count, int) and count >= 0 for count in classes)
        assert read.reasoning_tokens <= read.output_tokens
        assert 0 < read.total_input <= 4 * bills.MOST_TOKENS
        assert 0 < read.output_tokens <= 2 * bills.MOST_TOKENS
