"""Which names are the same model's, and for whom another model's answer will not do."""

import pytest

from tierqueue.router.served_model import must_be_the_asked, same_model

SAME = [
    ("gpt-4o", "gpt-4o-2024-08-06"),
    ("gpt-4", "gpt-4-0613"),
    ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
    ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
    ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
    ("claude-sonnet-4-0", "claude-sonnet-4-20250514"),
    ("anthropic/claude-sonnet-4.5", "anthropic/claude-4.5-sonnet-20250929"),
    ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
    ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
    ("command-r", "command-r-08-2024"),
    ("gemini-2.5-flash-preview", "google/gemini-2.5-flash-preview-09-2025"),
    ("qwen/qwen3-32b", "qwen/qwen3-32b-04-28"),
    ("mistral-large-latest", "mistral-large-2411"),
    ("gemini-2.0-flash", "models/gemini-2.0-flash-001"),
    ("gemini-2.5-pro-preview", "gemini-2.5-pro-preview-05-06"),
    ("meta-llama/llama-3.3-70b-instruct:free", "meta-llama/Llama-3.3-70B-Instruct"),
    ("accounts/fireworks/models/qwen3-8b", "qwen3-8b"),
    ("Qwen/Qwen3-8B", "/models/qwen3-8b"),
    ("deepseek-chat", "deepseek-chat"),
    ("frontier-mini", "sandbox/frontier-mini"),
]
OTHER = [
    ("gpt-4o", "gpt-4o-mini"),
    ("gpt-4o", "gpt-4o-mini-2024-07-18"),
    ("gpt-4o-2024-08-06", "gpt-4o-2024-05-13"),
    ("claude-opus-4-5", "claude-haiku-4-5-20251001"),
    ("claude-sonnet-4-5", "claude-sonnet-4"),
    ("claude-sonnet-4-5", "claude-sonnet-4-20250514"),
    ("model-f", "claude-haiku-tiny"),
    ("llama3:70b", "llama3:8b"),
    ("meta-llama/llama-3.3-70b-instruct", "meta-llama/llama-3.1-8b-instruct"),
    ("qwen3-8b", "qwen3-8b-fp8"),
    ("o1", "o3"),
    ("gpt-4.1", "gpt-4"),
    ("m", "?"),
    ("m", ""),
]


@pytest.mark.parametrize(("asked", "served"), SAME)
def test_dated_and_aliased_names_are_the_same_model(asked: str, served: str) -> None:
    assert same_model(asked, served)


@pytest.mark.parametrize(("asked", "served"), OTHER)
def test_other_sizes_versions_and_dates_are_other_models(asked: str, served: str) -> None:
    assert not same_model(asked, served)


def test_further_names_are_those_that_the_deployment_lists() -> None:
    assert same_model("best", "qwen3-8b-fp8", ["qwen3-8b", "qwen3-8b-fp8"])
    assert same_model("openrouter/auto", "anything/at-all", ["*"])
    assert same_model("best", "qwen3-8b-awq", ["qwen3-8b-*"])
    assert not same_model("best", "qwen3-80b", ["qwen3-8b*", "qwen3.80b"])


@pytest.mark.parametrize(
    ("risk", "floor", "must"),
    [
        ("internal", "gpu", False),
        ("internal", None, False),
        ("internal", "open_weight", True),
        ("internal", "frontier", True),
        ("customer_facing", "gpu", True),
        ("auto_applied", None, True),
        (None, None, True),
    ],
)
def test_risk_or_a_floor_above_the_lowest_tier_demands_the_model_that_was_asked_for(
    risk: str | None, floor: str | None, must: bool
) -> None:
    assert must_be_the_asked(risk, floor) is must
