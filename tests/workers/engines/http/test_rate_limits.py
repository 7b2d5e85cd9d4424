"""What providers state of their limits per minute, and of which one a throttle is."""

import pytest

from tierqueue.router.outcome import PerMinute
from tierqueue.workers.engines.http import rate_limits


def test_openai_and_azure_state_requests_and_tokens() -> None:
    headers = {"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "30000"}
    assert rate_limits.stated_limits(headers) == PerMinute(requests=500, tokens=30_000)


def test_anthropic_states_input_and_output_apart() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-tokens-limit": "38000",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-output-tokens-limit": "8000",
    }
    assert rate_limits.stated_limits(headers) == PerMinute(50, 38_000, 30_000, 8_000)


def test_cerebras_states_which_time_its_limits_are_of() -> None:
    headers = {
        "x-ratelimit-limit-requests-day": "14400",
        "x-ratelimit-limit-tokens-minute": "60000",
    }
    assert rate_limits.stated_limits(headers) == PerMinute(tokens=60_000)


@pytest.mark.parametrize("reset", ["2m59.56s", "1h2m", "1d", "6m0s", "76"])
def test_requests_that_take_longer_than_a_minute_to_come_back_are_no_limit_per_minute(
    reset: str,
) -> None:
    headers = {"x-ratelimit-limit-requests": "1000", "x-ratelimit-reset-requests": reset}
    assert rate_limits.stated_limits(headers) is None


@pytest.mark.parametrize("reset", ["12ms", "1s", "59.9s", "1m0s", "0", "tomorrow", "9" * 80, ".s"])
def test_any_other_reset_leaves_it_one(reset: str) -> None:
    headers = {"x-ratelimit-limit-requests": "1000", "x-ratelimit-reset-requests": reset}
    assert rate_limits.stated_limits(headers) == PerMinute(requests=1000)


@pytest.mark.parametrize(
    "count",
    ["-1", "0", "1e9", "nan", "inf", "", " ", "1,000", "9" * 13, "9" * 5000, "\u0665", "unlimited"],
)
def test_what_is_no_count_is_as_if_unsaid(count: str) -> None:
    assert rate_limits.stated_limits({"x-ratelimit-limit-tokens": count}) is None


@pytest.mark.parametrize(
    ("message", "of"),
    [
        ("Rate limit reached for m on tokens per min (TPM): Limit 30000, Used 29000", "tokens"),
        ("Rate limit reached for m on requests per min (RPM): Limit 3, Used 3", "requests"),
        (
            "This request would exceed the rate limit of 40,000 input tokens per minute",
            "input_tokens",
        ),
        ("… the rate limit of 8,000 output tokens per minute …", "output_tokens"),
        ("Requests have exceeded token rate limit of your current OpenAI S0 tier", "tokens"),
        ("Requests have exceeded call rate limit of your current tier", "requests"),
    ],
)
def test_a_message_says_which_limit_a_throttle_is_of(message: str, of: str) -> None:
    assert rate_limits.over({}, [], [message]) == of


def test_a_code_says_it_where_no_message_does() -> None:
    assert rate_limits.over({}, ["tokens", "rate_limit_exceeded"], ["slow down"]) == "tokens"
    assert rate_limits.over({}, ["requests"], []) == "requests"


def test_what_is_left_of_each_limit_says_it_where_nothing_else_does() -> None:
    left = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "100",
    }
    assert rate_limits.over(left, ["rate_limit_error"], []) == "output_tokens"


def test_where_much_is_left_of_all_nobody_knows() -> None:
    left = {"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "900"}
    assert rate_limits.over(left, ["rate_limit_exceeded"], ["too many"]) is None
    assert rate_limits.over({}, [], []) is None
