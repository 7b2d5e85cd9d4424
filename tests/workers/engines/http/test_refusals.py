"""Errors of providers and gateways, as statuses and inside a 200: each is taken for what it is."""

import json
from typing import Any

import httpx2
import pytest

from tests.workers.engines.engine_asked import GOOD, both, played
from tests.workers.engines.engine_calls import a_call, replies
from tierqueue.router.outcome import (
    Completed,
    Failed,
    Reply,
    Throttled,
    Unavailable,
    Unknown,
    Usage,
)
from tierqueue.workers.engines.http import refusals
from tierqueue.workers.engines.http.refusals import ProviderRefusal

EMPTY = {"id": None, "choices": None, "content": None, "model": None, "usage": None}
"""What a gateway sends around an error: OpenRouter has all fields, and null in each."""


def refused(response: httpx2.Response) -> ProviderRefusal | None:
    return refusals.read(response, a_call("m"))


def upstream(status: int, raw: Any = "Too Many Requests") -> dict[str, Any]:
    """An error that a gateway passes on from the provider behind it."""
    metadata = {"raw": raw, "provider_name": "Hyperbolic"}
    return {"message": "Provider returned error", "code": status, "metadata": metadata}


def inside_a_200(kind: str, error: Any, **around: Any) -> Reply:
    return played(kind, replies(200, {**EMPTY, **around, "error": error}, {"retry-after": "7"}))


@both
@pytest.mark.parametrize(
    "error",
    [
        upstream(429),
        {"code": "429", "message": "slow down"},
        {"code": "rate_limit_exceeded"},
        {"type": "rate_limit_error", "message": "slow down"},
        {"status": "RESOURCE_EXHAUSTED", "message": "slow down"},
    ],
)
def test_a_throttle_inside_a_200_is_a_throttle(kind: str, error: Any) -> None:
    assert inside_a_200(kind, error) == Throttled(after=7.0)


@both
@pytest.mark.parametrize("status", [400, 404, 422, 500, 502])
def test_an_error_inside_a_200_is_what_its_status_would_have_been(kind: str, status: int) -> None:
    error = {"code": status, "message": "You wrote: my secret prompt"}
    as_status = played(kind, replies(status, {"error": error}, {"retry-after": "7"}))
    assert inside_a_200(kind, error) == as_status
    assert isinstance(as_status, Failed | Unavailable)
    assert f"HTTP {status}" in as_status.message
    assert "secret" not in as_status.message


@both
def test_an_error_that_names_no_code_leaves_the_charge_unknown(kind: str) -> None:
    for error in ("it broke", {"message": "it broke"}, {"code": 200}, {"code": True}):
        reply = inside_a_200(kind, error)
        assert isinstance(reply, Unknown)
        assert reply.kind == "garbage"
        assert "broke" not in reply.message


def test_an_error_in_a_choice_is_acted_on_and_nothing_was_billed_before_a_text() -> None:
    choice = {"error": upstream(429), "finish_reason": "error", "message": {"content": ""}}
    assert inside_a_200("openai", None, choices=[choice]) == Throttled(after=7.0)


def test_an_answer_that_broke_off_is_billed_as_its_usage_says_and_else_unknown() -> None:
    choice = {"error": {"code": 502}, "finish_reason": "error", "message": {"content": "The ans"}}
    billed = inside_a_200("openai", None, choices=[choice], usage=GOOD["openai"]["usage"])
    assert isinstance(billed, Unavailable)
    assert billed.kind == "reply_lost"
    assert billed.usage == Usage(input_tokens=10, output_tokens=5)
    lost = inside_a_200("openai", None, choices=[choice])
    assert isinstance(lost, Unknown)
    assert lost.kind == "broken_off"


WITHHELD: dict[str, tuple[int, Any]] = {
    "OpenAI": (400, {"code": "content_policy_violation", "type": "invalid_request_error"}),
    "Azure": (
        400,
        {
            "code": "content_filter",
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        },
    ),
    "reasoning models": (400, {"code": "invalid_prompt"}),
    "DashScope": (400, {"code": "data_inspection_failed"}),
    "OpenRouter": (
        403,
        {"code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "my secret"}},
    ),
    "Anthropic": (
        400,
        {
            "type": "invalid_request_error",
            "message": "Output blocked by content filtering policy",
        },
    ),
}


@both
@pytest.mark.parametrize("who", list(WITHHELD))
def test_a_filtered_prompt_is_the_same_as_a_filtered_answer_and_costs_nothing(
    kind: str, who: str
) -> None:
    status, error = WITHHELD[who]
    body = {"error": {"code": status, **error}}
    for reply in (played(kind, replies(status, body)), played(kind, replies(200, body))):
        assert isinstance(reply, Completed)
        assert (reply.finish, reply.text, reply.usage) == ("filtered", "", Usage())


TOO_LONG: dict[str, tuple[int, Any]] = {
    "OpenAI": (400, {"error": {"code": "context_length_exceeded", "message": "…"}}),
    "OpenAI in words": (
        400,
        {
            "error": {
                "type": "invalid_request_error",
                "message": "Your input exceeds the context window of this model.",
            }
        },
    ),
    "Anthropic": (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "prompt is too long: 213462 tokens > 200000 maximum",
            },
        },
    ),
    "Gemini": (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "status": "INVALID_ARGUMENT",
                    "message": "The input token count (1196265) exceeds the maximum number of "
                    "tokens allowed (1048575).",
                }
            }
        ],
    ),
    "vLLM": (
        400,
        {
            "object": "error",
            "type": "BadRequestError",
            "code": 400,
            "message": "This model's maximum context length is 8192 tokens. However, you "
            "requested 9000 tokens.",
        },
    ),
    "vLLM since its renderer": (
        400,
        {
            "error": {
                "code": 400,
                "type": "BadRequestError",
                "message": "You passed 9001 input tokens and requested 64 output tokens. However, "
                "the model's context length is only 8192 tokens.",
            }
        },
    ),
    "Mistral": (
        400,
        {
            "object": "error",
            "type": "invalid_request_prompt",
            "code": 3051,
            "message": "Prompt contains 40001 tokens and 0 draft tokens, too large for model "
            "with 32768 maximum context length",
        },
    ),
    "TGI": (
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
            "error_type": "validation",
        },
    ),
    "llama.cpp": (
        400,
        {
            "error": {
                "code": 400,
                "type": "exceed_context_size_error",
                "message": "the request exceeds the available context size, try increasing it",
            }
        },
    ),
    "xAI": (
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "This model's maximum prompt length is 131072 but the request contains "
            "537812 tokens.",
        },
    ),
    "OpenRouter": (
        400,
        {"error": upstream(400, json.dumps({"message": "maximum context length is 32768 tokens"}))},
    ),
}


@pytest.mark.parametrize("who", list(TOO_LONG))
def test_a_context_window_that_is_too_small_is_known_in_every_vendors_words(who: str) -> None:
    status, body = TOO_LONG[who]
    refusal = refused(httpx2.Response(status, json=body))
    assert refusal is not None
    assert refusal.too_long
    assert not refusal.withheld


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (429, "Request too large: reduce the length of the messages, or wait a minute"),
        (400, "max_tokens is not supported with this model"),
        (400, "Invalid schema for response_format"),
    ],
)
def test_other_errors_are_not_taken_for_a_small_context_window(status: int, message: str) -> None:
    refusal = refused(httpx2.Response(status, json={"error": {"message": message}}))
    assert refusal is not None
    assert not refusal.too_long


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"7", b"[" * 100_000, b'{"error": []}', b'{"error": 7}', b"\xff\xfe"],
)
def test_an_error_of_any_shape_is_read(body: bytes) -> None:
    refusal = refused(httpx2.Response(503, content=body))
    assert refusal is not None
    assert refusal.status == 503
    assert not refusal.own


def test_codes_are_kept_only_where_they_look_like_codes() -> None:
    odd: list[Any] = ["078-05-1120", "two words", "\x1b[31mred", "x" * 65, 7, None, {}]
    for said in odd:
        refusal = refused(httpx2.Response(400, json={"error": {"code": said}}))
        assert refusal is not None
        assert refusal.words == ()


@pytest.mark.parametrize(
    ("error", "after"),
    [
        ({"metadata": {"headers": {"Retry-After": "12"}}}, 12.0),
        ({"metadata": {"headers": {"retry-after-ms": 1500}}}, 1.5),
        ({"details": [{"@type": "…/google.rpc.RetryInfo", "retryDelay": "31.5s"}]}, 31.5),
        ({"metadata": {"headers": {"Retry-After": 10**400}}}, None),
        ({"metadata": {"headers": {"Retry-After": {}}}}, None),
        ({"metadata": {"headers": [1]}, "details": [7, {"retryDelay": 5}]}, None),
    ],
)
def test_the_wait_that_a_gateway_passes_on_inside_of_an_error_is_kept(
    error: dict[str, Any], after: float | None
) -> None:
    refusal = refused(httpx2.Response(429, json={"error": {"code": 429, **error}}))
    assert refusal is not None
    assert refusal.after == after
    stated = httpx2.Response(429, json={"error": error}, headers={"retry-after": "3"})
    assert (refused(stated) or refusal).after == 3.0


@both
@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_any_success_is_read_as_one(kind: str, status: int) -> None:
    assert isinstance(played(kind, replies(status, GOOD[kind])), Completed)
    assert isinstance(played(kind, replies(status, b"")), Unknown)


ACCOUNT: list[tuple[int, Any, str]] = [
    (
        400,
        {
            "type": "invalid_request_error",
            "message": "Your credit balance is too low to access it.",
        },
        "quota",
    ),
    (
        400,
        {"status": "INVALID_ARGUMENT", "message": "API key not valid. Pass another."},
        "unauthorized",
    ),
    (
        400,
        {"status": "FAILED_PRECONDITION", "message": "User location is not supported."},
        "unauthorized",
    ),
    (400, {"message": "open-tiny is not a valid model ID"}, "not_found"),
    (400, {"message": "Invalid model: open-tiny"}, "not_found"),
    (400, {"code": "model_decommissioned", "message": "No longer supported."}, "not_found"),
    (400, {"message": "The model `m` has been decommissioned."}, "not_found"),
    (400, {"code": "model_not_available", "message": "Unable to access it."}, "not_found"),
    (400, {"code": "model_not_found", "message": "…"}, "not_found"),
    (400, {"code": "invalid_api_key", "message": "…"}, "unauthorized"),
    (400, {"code": "organization_restricted", "message": "…"}, "unauthorized"),
    (400, {"message": "This organization has been disabled."}, "unauthorized"),
    (400, {"status": "INVALID_ARGUMENT", "message": "API Key not found."}, "unauthorized"),
    (400, {"code": "Arrearage", "message": "Access denied."}, "quota"),
    (400, {"message": "Please enable billing on your project."}, "quota"),
    (400, {"message": "You have reached your specified API usage limits."}, "quota"),
    (412, {"message": "Account mine is suspended: spending limit."}, "quota"),
]


@both
@pytest.mark.parametrize(("status", "error", "trouble"), ACCOUNT)
def test_what_a_400_says_of_the_account_is_no_items_fault(
    kind: str, status: int, error: Any, trouble: str
) -> None:
    reply = played(kind, replies(status, {"error": error}))
    assert isinstance(reply, Unavailable)
    assert reply.kind == trouble


@both
@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (301, "not_found"),
        (302, "not_found"),
        (307, "not_found"),
        (308, "not_found"),
        (405, "not_found"),
        (407, "unauthorized"),
        (410, "not_found"),
        (421, "not_found"),
        (426, "not_found"),
    ],
)
def test_an_address_where_nobody_takes_calls_is_no_items_fault(
    kind: str, status: int, trouble: str
) -> None:
    elsewhere = {"location": "https://login.example/"}
    reply = played(kind, replies(status, b"<html>moved</html>", elsewhere))
    assert isinstance(reply, Unavailable)
    assert reply.kind == trouble


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1002, Throttled),
        (1008, Unavailable),
        (1013, Unavailable),
        (9999, Unavailable),
        (2013, Failed),
        (1026, Completed),
    ],
)
def test_minimax_says_its_errors_inside_a_200(code: int, expected: type[Reply]) -> None:
    body = {"choices": None, "usage": None, "base_resp": {"status_code": code, "status_msg": "x"}}
    assert isinstance(played("openai", replies(200, body)), expected)
    good = {**GOOD["openai"], "base_resp": {"status_code": 0, "status_msg": "success"}}
    assert isinstance(played("openai", replies(200, good)), Completed)


@both
def test_a_200_that_is_nothing_but_an_error_is_one(kind: str) -> None:
    assert played(kind, replies(200, {"code": 429, "message": "slow"})) == Throttled(after=None)
