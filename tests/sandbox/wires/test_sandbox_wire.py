"""Both wire formats, as the real SDKs read them."""

import http.client
import json
import math
from typing import Any, Literal

import anthropic
import openai
import pytest
from pydantic import BaseModel, Field


class Ticket(BaseModel):
    label: Literal["card_arrival", "lost_card", "refund"]
    confidence: float = Field(ge=0, le=1)
    amount: int | None


TEXT = "I have lost my card, and 250 pounds with it"
TURNS: Any = [{"role": "user", "content": TEXT}]


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_every_reply_says_that_it_is_simulated(provider: Any, api: str) -> None:
    reply = provider.ask(api, "hello", model="open-large")
    assert reply.headers["x-simulated"] == "true"
    assert reply.parse().model == "sandbox/open-large"


def test_openai_parses_a_structured_answer(provider: Any) -> None:
    answer = provider.openai.chat.completions.parse(
        model="open-small", messages=TURNS, response_format=Ticket
    )
    parsed = answer.choices[0].message.parsed
    assert parsed.label == "lost_card"
    assert parsed.amount in {250, None}
    assert answer.choices[0].finish_reason == "stop"


def test_anthropic_parses_a_structured_answer(provider: Any) -> None:
    answer = provider.anthropic.messages.parse(
        model="frontier-large", max_tokens=200, messages=TURNS, output_format=Ticket
    )
    assert answer.parsed_output.label == "lost_card"
    assert (answer.stop_reason, answer.usage.service_tier) == ("end_turn", "standard")


def test_a_json_object_is_an_object(provider: Any) -> None:
    reply = provider.ask_openai("hello, in JSON", response_format={"type": "json_object"}).parse()
    assert isinstance(json.loads(reply.choices[0].message.content), dict)


def test_tokens_are_a_quarter_of_the_bytes_rounded_up(provider: Any) -> None:
    answer = provider.ask_openai("grüße!").parse()
    assert answer.usage.prompt_tokens == 2
    said = answer.choices[0].message.content.encode()
    assert answer.usage.completion_tokens == math.ceil(len(said) / 4)
    assert provider.lines()[-1]["token_rule"] == "ceil(utf8_bytes/4)"


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_an_answer_longer_than_its_limit_is_cut_there(provider: Any, api: str) -> None:
    answer = provider.ask(api, "one two three four five six", max_tokens=2).parse()
    if api == "openai":
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 2
    else:
        assert answer.stop_reason == "max_tokens"
        assert answer.usage.output_tokens == 2


def test_openai_caches_the_beginning_of_a_prompt_in_steps(provider: Any) -> None:
    def usage(said: str) -> Any:
        turns: Any = [
            {"role": "system", "content": "openai rules " * 200},
            {"role": "user", "content": "openai " * 400 + said},
        ]
        return provider.openai.chat.completions.create(model="frontier-mini", messages=turns).usage

    first, again, other = usage("one"), usage("one"), usage("something else")
    assert first.prompt_tokens_details.cached_tokens == 0
    # 2,600 and 2 and 2,800 bytes are shared, wherever one message ends.
    assert again.prompt_tokens_details.cached_tokens == 1350 // 128 * 128
    assert other.prompt_tokens_details.cached_tokens == 1350 // 128 * 128
    assert again.prompt_tokens == first.prompt_tokens


@pytest.mark.parametrize(("ttl", "other"), [("5m", "1h"), ("1h", "5m")])
def test_anthropic_caches_what_is_marked_and_bills_the_writing(
    provider: Any, ttl: str, other: str
) -> None:
    rules = f"rules kept for {ttl} " * 400
    mark = {"type": "ephemeral", "ttl": ttl}
    system: Any = [{"type": "text", "text": rules, "cache_control": mark}]
    ask = {"model": "frontier-large", "max_tokens": 100, "system": system, "messages": TURNS}
    first = provider.anthropic.messages.create(**ask).usage
    again = provider.anthropic.messages.create(**ask).usage
    size = math.ceil(len(rules) / 4)
    assert first.cache_creation_input_tokens == size
    assert getattr(first.cache_creation, f"ephemeral_{ttl}_input_tokens") == size
    assert getattr(first.cache_creation, f"ephemeral_{other}_input_tokens") == 0
    assert (again.cache_read_input_tokens, again.cache_creation_input_tokens) == (size, 0)
    assert again.input_tokens == first.input_tokens < 20


def test_a_model_without_a_price_does_not_exist(provider: Any) -> None:
    with pytest.raises(openai.NotFoundError):
        provider.ask_openai("hello", model="gpt-unknown")
    with pytest.raises(anthropic.NotFoundError):
        provider.ask_anthropic("hello", model="claude-unknown")


@pytest.mark.parametrize(
    "more",
    [
        {"stream_options": {"include_usage": True}},
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"max_tokens": 0},
    ],
)
def test_what_the_sandbox_would_have_to_pretend_is_refused(
    provider: Any, more: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError):
        provider.ask_openai("hello", **more)


def test_both_sdks_read_an_answer_as_a_stream(provider: Any) -> None:
    client = provider.openai.chat.completions
    asked = {"model": "open-small", "messages": [{"role": "user", "content": "hello"}]}
    whole = client.create(**asked).choices[0].message.content
    parts = list(client.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(part.choices[0].delta.content or "" for part in parts[:-1]) == whole
    assert parts[-1].usage.completion_tokens > 0
    asked["model"] = "frontier-large"
    said = provider.anthropic.messages.create(**asked, max_tokens=200).content[0].text
    with provider.anthropic.messages.stream(**asked, max_tokens=200) as stream:
        final = stream.get_final_message()
    assert (final.content[0].text, final.stop_reason) == (said, "end_turn")
    assert final.usage.output_tokens > 1


def test_the_models_are_listed(provider: Any) -> None:
    names = {model.id for model in provider.openai.models.list()}
    assert names == {"open-small", "open-large", "frontier-mini", "frontier-large", "house-tiny"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("key", [{}, {"authorization": "Bearer "}, {"x-api-key": ""}])
def test_a_call_without_a_key_is_refused_in_the_providers_own_shape(
    provider: Any, path: str, key: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", provider.port)
    connection.request("POST", path, json.dumps({"model": "open-small"}), key)
    reply = connection.getresponse()
    error = json.loads(reply.read())["error"]
    connection.close()
    assert reply.status == 401
    assert error["type"] == "authentication_error"
    assert ("code" in error) == (path == "/v1/chat/completions")


@pytest.mark.parametrize("body", ["", "[]", "{", '"text"', "{}", '{"model": 3}', '{"a":' * 9000])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_body_that_is_no_request_is_refused(provider: Any, path: str, body: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", provider.port)
    connection.request("POST", path, body, {"authorization": "Bearer any"})
    reply = connection.getresponse()
    reply.read()
    connection.close()
    assert reply.status == 400
