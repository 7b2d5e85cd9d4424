"""What the sandbox refuses under /as/NAME, and in whose words."""

import re
from typing import Any

import openai
import pytest

from sandbox.wires.vendors import Vendor, vendors

VENDORS = vendors()
TURNS: Any = [{"role": "user", "content": "Where is my card?"}]


def asked(provider: Any, name: str, **more: Any) -> Any:
    """What the vendor answers, or the error that it gives."""
    url = f"{provider.url}/as/{name}{VENDORS[name].path}"
    with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as client:
        try:
            return client.chat.completions.create(model="open-small", messages=TURNS, **more)
        except openai.APIStatusError as error:
            return error


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS.keys())
def test_a_parameter_that_a_vendor_does_not_know_is_refused_or_passed_over(
    provider: Any, vendor: Vendor
) -> None:
    said = asked(provider, vendor.name, extra_body={"verbosity": "low"})
    assert getattr(said, "status_code", None) == vendor.unknown
    if vendor.unknown is None:
        assert said.choices[0].message.content


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS.keys())
def test_a_form_that_a_vendor_does_not_know_is_refused(provider: Any, vendor: Vendor) -> None:
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    form: Any = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": schema, "strict": True},
    }
    said = asked(provider, vendor.name, response_format=form)
    taken = "json_schema" in vendor.formats
    assert getattr(said, "status_code", None) == (None if taken else 400)


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("openai", {"max_tokens": 5}, "Unsupported parameter: 'max_tokens'"),
        ("mistral", {"max_completion_tokens": 5}, "extra_forbidden.*max_completion_tokens"),
        ("gemini", {"logprobs": True}, 'Unknown name "logprobs"'),
        ("groq", {"logprobs": True}, "`logprobs` is not supported with this model"),
        ("moonshot", {"temperature": 0}, "temperature cannot be modified"),
        ("together", {"logprobs": True}, "logprobs: Input should be a valid integer"),
        ("fireworks", {"logprobs": True, "top_logprobs": 6}, "top_logprobs: at most 5"),
    ],
)
def test_a_refusal_has_the_vendors_own_words(
    provider: Any, name: str, more: dict[str, Any], words: str
) -> None:
    said = asked(provider, name, **more)
    assert isinstance(said, openai.APIStatusError), said
    assert re.search(words, said.response.text.replace('\\"', '"')), said.response.text
    assert said.status_code in (400, 422)


def test_a_limit_that_a_server_does_not_know_does_not_limit(provider: Any) -> None:
    free = asked(provider, "ollama", max_completion_tokens=2)
    held = asked(provider, "ollama", max_tokens=2)
    assert free.choices[0].finish_reason == "stop"
    assert held.choices[0].finish_reason == "length"


def test_an_address_that_is_not_the_vendors_is_not_there(provider: Any) -> None:
    with (
        openai.OpenAI(
            base_url=f"{provider.url}/as/gemini/v1", api_key="k", max_retries=0
        ) as elsewhere,
        pytest.raises(openai.NotFoundError),
    ):
        elsewhere.chat.completions.create(model="open-small", messages=TURNS)
