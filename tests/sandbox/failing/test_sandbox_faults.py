"""Each fault, asked for by a marker, as it is seen through the real SDKs."""

import json
import time
from typing import Any

import anthropic
import openai
import pytest

from tests.waiting import PATIENCE_SECONDS, until

SDKS: dict[str, Any] = {"openai": openai, "anthropic": anthropic}
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["refund", "lost_card"]}, "note": {"type": "string"}},
    "required": ["label", "note"],
    "additionalProperties": False,
}
OPENAI_SCHEMA = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "t", "schema": SCHEMA}}
}
ANTHROPIC_SCHEMA = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}


def structured(api: str) -> dict[str, Any]:
    return OPENAI_SCHEMA if api == "openai" else ANTHROPIC_SCHEMA


def text_of(answer: Any) -> str:
    if hasattr(answer, "choices"):
        return str(answer.choices[0].message.content)
    return str(answer.content[0].text)


@pytest.mark.parametrize("api", SDKS)
@pytest.mark.parametrize(
    ("marker", "error", "status"),
    [
        ("429", "RateLimitError", 429),
        ("500", "InternalServerError", 500),
        ("503", "InternalServerError", 503),
        ("bad_request", "BadRequestError", 400),
        ("unauthorized", "AuthenticationError", 401),
        ("no_model", "NotFoundError", 404),
    ],
)
def test_an_error_fault_raises_the_sdks_own_error_and_bills_nothing(
    provider: Any, api: str, marker: str, error: str, status: int
) -> None:
    with pytest.raises(getattr(SDKS[api], error)) as raised:
        provider.ask(api, f"hello [[sandbox:{marker}]]")
    assert raised.value.status_code == status
    assert raised.value.response.headers["x-simulated"] == "true"
    assert "retry-after" not in raised.value.response.headers
    line = provider.lines()[-1]
    assert (line["status"], line["fault"], line["cost_nanousd"]) == (status, marker, 0)
    assert line["output_tokens"] == line["input_tokens"] == 0


def test_an_account_without_money_is_told_so_in_its_vendors_own_way(provider: Any) -> None:
    with pytest.raises(openai.RateLimitError) as told:
        provider.ask("openai", "hello [[sandbox:no_quota]]")
    assert told.value.code == "insufficient_quota"
    with pytest.raises(anthropic.BadRequestError, match="Your credit balance is too low"):
        provider.ask("anthropic", "hello [[sandbox:no_quota]]")


@pytest.mark.parametrize("api", SDKS)
def test_a_429_says_when_to_come_back_if_the_marker_does(provider: Any, api: str) -> None:
    with pytest.raises(SDKS[api].RateLimitError) as raised:
        provider.ask(api, "hello [[sandbox:429 after=1.5]]")
    assert raised.value.response.headers["retry-after"] == "2"
    assert raised.value.response.headers["retry-after-ms"] == "1500"


@pytest.mark.parametrize("api", SDKS)
@pytest.mark.parametrize(("marker", "status"), [("gateway", 502), ("gateway status=524", 524)])
def test_a_gateway_s_page_comes_in_place_of_an_answer_that_is_billed(
    provider: Any, api: str, marker: str, status: int
) -> None:
    with pytest.raises(SDKS[api].APIStatusError) as raised:
        provider.ask(api, f"hello [[sandbox:{marker}]]")
    assert raised.value.response.headers["content-type"] == "text/html"
    line = provider.lines()[-1]
    assert (line["status"], line["fault"]) == (status, "gateway")
    assert line["cost_nanousd"] > 0


@pytest.mark.parametrize("api", SDKS)
def test_garbage_is_a_200_without_json_and_is_billed(provider: Any, api: str) -> None:
    reply = provider.ask(api, "hello [[sandbox:garbage]]")
    assert reply.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(reply.text if isinstance(reply.text, str) else reply.text())
    assert provider.lines()[-1]["cost_nanousd"] > 0


@pytest.mark.parametrize("api", SDKS)
def test_a_truncated_answer_ends_for_length_and_does_not_parse(provider: Any, api: str) -> None:
    answer = provider.ask(api, "hello [[sandbox:truncated]]", **structured(api)).parse()
    ended = answer.choices[0].finish_reason if api == "openai" else answer.stop_reason
    assert ended == ("length" if api == "openai" else "max_tokens")
    with pytest.raises(ValueError):  # noqa: PT011 - whatever json says of a cut text
        json.loads(text_of(answer))


@pytest.mark.parametrize("api", SDKS)
def test_an_invalid_answer_parses_and_has_a_label_outside_the_list(provider: Any, api: str) -> None:
    answer = provider.ask(api, "a refund [[sandbox:invalid]]", **structured(api)).parse()
    found = json.loads(text_of(answer))
    assert found.keys() == {"label", "note"}
    assert found["label"] not in {"refund", "lost_card"}


@pytest.mark.parametrize("api", SDKS)
def test_a_charged_and_lost_reply_is_a_connection_error_with_a_bill(
    provider: Any, api: str
) -> None:
    with pytest.raises(SDKS[api].APIConnectionError):
        provider.ask(api, "hello [[sandbox:charged_lost]]")
    line = provider.lines()[-1]
    assert (line["status"], line["fault"]) == (0, "charged_lost")
    assert line["cost_nanousd"] > 0


@pytest.mark.parametrize("api", SDKS)
def test_a_hanging_call_answers_late(provider: Any, api: str) -> None:
    began = time.monotonic()
    answer = provider.ask(api, "hello [[sandbox:hang seconds=0.3]]").parse()
    assert time.monotonic() - began >= 0.3
    assert text_of(answer).startswith("Simulated answer")
    line = provider.lines()[-1]
    assert line["ended"] - line["started"] >= 0.3


@pytest.mark.parametrize("api", SDKS)
def test_a_hanging_call_whose_caller_gives_up_is_billed_all_the_same(
    provider: Any, api: str
) -> None:
    before = len(provider.lines())
    gives_up = SDKS[api].Timeout(PATIENCE_SECONDS, read=2.0)
    with pytest.raises(SDKS[api].APITimeoutError):
        provider.ask(api, "hello [[sandbox:hang seconds=600]]", timeout=gives_up)
    until(lambda: len(provider.lines()) > before)
    line = provider.lines()[-1]
    assert (line["status"], line["fault"]) == (0, "hang")
    assert line["cost_nanousd"] > 0


def test_overage_bills_more_than_the_output_limit(provider: Any) -> None:
    usage = provider.ask_openai("hi [[sandbox:overage factor=2.5]]", max_tokens=100).parse().usage
    assert usage.completion_tokens == 250
    assert provider.lines()[-1]["output_tokens"] == 250


def test_a_fault_with_times_strikes_the_first_calls_with_this_prompt_only(provider: Any) -> None:
    prompt = "count me [[sandbox:500 times=2]]"
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            provider.ask_openai(prompt)
    assert provider.ask_openai(prompt).status_code == 200
    with pytest.raises(openai.InternalServerError):
        provider.ask_openai("another " + prompt)


def test_markers_are_played_in_turn(provider: Any) -> None:
    prompt = "in turn [[sandbox:500 times=1]][[sandbox:429 times=1]]"
    with pytest.raises(openai.InternalServerError):
        provider.ask_openai(prompt)
    with pytest.raises(openai.RateLimitError):
        provider.ask_openai(prompt)
    assert provider.ask_openai(prompt).status_code == 200


def test_a_fault_for_one_model_spares_the_next_tier(provider: Any) -> None:
    prompt = "a refund [[sandbox:invalid model=open-small]]"
    cheap = provider.ask_openai(prompt, "open-small", **OPENAI_SCHEMA).parse()
    expensive = provider.ask_anthropic(prompt, "frontier-large", **ANTHROPIC_SCHEMA).parse()
    assert json.loads(text_of(cheap))["label"] == "sandbox-invalid"
    assert json.loads(text_of(expensive))["label"] == "refund"


@pytest.mark.parametrize(
    "marker", ["nope", "429 after=soon", "500 times=-1", "hang for=3", "", "overage factor=nan"]
)
def test_a_marker_that_is_not_understood_is_refused(provider: Any, marker: str) -> None:
    with pytest.raises(openai.BadRequestError, match="sandbox marker"):
        provider.ask_openai(f"hello [[sandbox:{marker}]]")


@pytest.mark.parametrize("api", SDKS)
def test_an_error_inside_a_200_names_its_status_and_bills_nothing(provider: Any, api: str) -> None:
    reply = provider.ask(api, "hello [[sandbox:error_in_200 status=503]]")
    assert reply.http_response.status_code == 200
    assert reply.http_response.json()["error"]["code"] == 503
    assert (provider.lines()[-1]["status"], provider.lines()[-1]["cost_nanousd"]) == (200, 0)


@pytest.mark.parametrize("api", SDKS)
@pytest.mark.parametrize(
    ("marker", "code", "words"),
    [
        ("filtered", "content_filter", "content filtering policy"),
        ("too_long", "context_length_exceeded", "prompt is too long"),
    ],
)
def test_a_prompt_is_refused_by_code_or_in_the_vendors_words(
    provider: Any, api: str, marker: str, code: str, words: str
) -> None:
    with pytest.raises(SDKS[api].BadRequestError) as raised:
        provider.ask(api, f"hello [[sandbox:{marker}]]")
    error = raised.value.response.json()["error"]
    assert words in error["message"]
    assert error.get("code") == (code if api == "openai" else None)
    assert provider.lines()[-1]["cost_nanousd"] == 0


@pytest.mark.parametrize("api", SDKS)
@pytest.mark.parametrize("marker", ["no_usage", "zero_usage", "no_finish", "other_model", "thinks"])
def test_a_reply_that_lacks_something_is_served_and_logged_at_its_cost(
    provider: Any, api: str, marker: str
) -> None:
    body = provider.ask(api, f"hello [[sandbox:{marker}]]").http_response.json()
    end = body["choices"][0]["finish_reason"] if api == "openai" else body["stop_reason"]
    text = body["choices"][0]["message"] if api == "openai" else body["content"][0]
    assert (end is None) is (marker == "no_finish")
    assert ("usage" not in body) is (marker == "no_usage")
    assert (sum(n for n in body.get("usage", {}).values() if isinstance(n, int)) == 0) is (
        marker in ("no_usage", "zero_usage")
    )
    assert (body["model"] == "sandbox-other-model") is (marker == "other_model")
    assert ("<think>" in json.dumps(text)) is (marker == "thinks")
    assert provider.lines()[-1]["cost_nanousd"] > 0
