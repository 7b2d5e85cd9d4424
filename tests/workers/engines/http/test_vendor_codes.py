"""Phrases of vendors' errors: what an item says in one never blames the deployment."""

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.engines.engine_calls import a_call
from tests.workers.engines.http.test_refusals import refused, upstream
from tierqueue.workers.engines.http import refusals

PHRASES = (
    *("model foo not found", "The model `m` does not exist", "Invalid model: m", "Unknown model"),
    *("m is not a valid model ID", "Your credit balance is too low", "Insufficient Balance"),
    *("You exceeded your current quota", "Account mine is suspended", "Please enable billing"),
    *("API key not valid", "Incorrect API key provided", "This organization has been disabled"),
    *("prompt is too long", "Output blocked by content filtering policy"),
    *("This model's maximum context length is 8 tokens", "Please reduce the length of the prompt"),
)
SAYINGS = (
    "{}",
    "You wrote: {}",
    'Invalid value for messages[1].content: "{}"',
    "Error: {}",
    "Invalid request: {}",
    "400 {}",
    "{} is not what was expected",
    "'{}' is too long for the field user",
)
CASES = (str, str.upper, str.title, lambda text: text.replace(" ", "\n"), json.dumps)


@pytest.mark.long
@given(
    text=st.builds(
        lambda before, phrase, after: f"{before}{phrase}{after}",
        st.text(max_size=20),
        st.sampled_from(PHRASES),
        st.text(max_size=20),
    )
    | st.text(),
    saying=st.sampled_from(SAYINGS),
    quoted=st.sampled_from(CASES),
    status=st.sampled_from([400, 412, 413, 422]),
    wrapped=st.sampled_from(["message", "raw", "raw json", "error", "bare"]),
    inside=st.booleans(),
)
def test_what_the_item_says_in_an_error_never_blames_the_deployment(
    text: str, saying: str, quoted: Any, status: int, wrapped: str, inside: bool
) -> None:
    message = saying.format(quoted(text))
    raw = json.dumps({"error": {"message": message}}) if wrapped == "raw json" else message
    error: Any = {
        "error": message,
        "raw": upstream(status, message),
        "raw json": upstream(status, raw),
    }.get(wrapped, {"code": status, "message": message, "type": "invalid_request_error"})
    body = {**error, "object": "error"} if wrapped == "bare" else {"error": error, "code": status}
    response = httpx2.Response(200 if inside else status, json=body)
    for call in (a_call("m", text), a_call("m", system=text), a_call("m", prefix=text)):
        refusal = refusals.read(response, call)
        assert refusal is not None
        assert refusal.status == status
        assert refusals.trouble(refusal) is None
        assert not refusal.withheld
        assert not refusal.too_long


@pytest.mark.parametrize("phrase", PHRASES)
@pytest.mark.parametrize(
    "saying", ['We cannot read "{}" here', "Bad field subject: {}", "You wrote:\n{}", "`{}`"]
)
def test_a_phrase_counts_at_the_beginning_of_a_message_alone(saying: str, phrase: str) -> None:
    error = {"message": saying.format(phrase)}
    for response in (
        httpx2.Response(400, json={"error": error}),
        httpx2.Response(200, json={"error": {**error, "code": 400}}),
    ):
        refusal = refused(response)
        assert refusal is not None
        assert refusals.trouble(refusal) is None
        assert (refusal.withheld, refusal.too_long) == (False, False)


def test_a_code_speaks_whatever_the_item_says() -> None:
    call = a_call("m", "model m not found")
    for code in ("model_not_found", "invalid_api_key", "insufficient_quota"):
        error = {"code": code, "message": "model m not found"}
        refusal = refusals.read(httpx2.Response(400, json={"error": error}), call)
        assert refusal is not None
        assert refusals.trouble(refusal) is not None
