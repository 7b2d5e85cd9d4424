"""What each host takes, stated by the policy or known of the host."""

import json
from typing import Any

import pytest

from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import parse_policy


def deployment(engine: str = "openai", **stated: Any) -> Deployment:
    lines = {
        "tier": "gpu" if engine == "vllm" else "frontier",
        "engine": engine,
        "model": "m",
        "boundary": "house" if engine == "vllm" else "vendor:v",
        "context_window": 8192,
        **({} if engine == "vllm" else {"key_env": "KEY"}),
        **stated,
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    return parse_policy(f"[deployments.d]\n{text}", "test").deployments["d"]


@pytest.mark.parametrize(
    ("url", "limit", "kind"),
    [
        (None, "max_completion_tokens", "json_schema"),
        ("https://api.openai.com/v1", "max_completion_tokens", "json_schema"),
        ("https://team.openai.azure.com/openai/v1", "max_completion_tokens", "json_schema"),
        ("https://api.groq.com/openai/v1", "max_completion_tokens", "json_object"),
        ("https://api.deepseek.com", "max_tokens", "json_object"),
        ("https://API.DeepSeek.com./beta", "max_tokens", "json_object"),
        ("https://api.deepinfra.com/v1/openai", "max_tokens", "json_object"),
        ("https://api.mistral.ai/v1", "max_tokens", "json_schema"),
        ("https://openrouter.ai/api/v1", "max_tokens", "json_schema"),
        ("http://127.0.0.1:8000/v1", "max_tokens", "json_schema"),
        ("https://notapi.openai.com.example/v1", "max_tokens", "json_schema"),
        ("https://xapi.openai.com/v1", "max_tokens", "json_schema"),
    ],
)
def test_a_known_host_needs_no_settings(url: str | None, limit: str, kind: str) -> None:
    found = deployment(**({} if url is None else {"base_url": url}))
    assert (found.limit_parameter, found.structured_output) == (limit, kind)


def test_what_the_policy_states_stands_above_what_is_known() -> None:
    found = deployment(
        base_url="https://api.groq.com/openai/v1",
        structured_output="json_schema",
        limit_parameter="max_tokens",
    )
    assert (found.limit_parameter, found.structured_output) == ("max_tokens", "json_schema")


@pytest.mark.parametrize(
    ("engine", "stated", "said"),
    [
        ("openai", {"limit_parameter": "max_output_tokens"}, "max_completion_tokens"),
        ("openai", {"structured_output": "json"}, "json_schema"),
        ("openai", {"structured_outputs": "none"}, "structured_output"),
        ("anthropic", {"limit_parameter": "max_completion_tokens"}, "openai engines only"),
        ("anthropic", {"structured_output": "json_object"}, "json_schema or none"),
        ("vllm", {"structured_output": "none"}, "is json_schema"),
        ("openai", {"reasoning_tokens": -1}, "reasoning_tokens"),
        ("openai", {"reasoning_tokens": 2.5}, "reasoning_tokens"),
        ("openai", {"reasoning_tokens": 1_000_001}, "reasoning_tokens"),
        ("openai", {"base_url": "http://[::1"}, "URL"),
        ("openai", {"base_url": 3}, "base_url"),
    ],
)
def test_what_no_such_engine_takes_is_refused(
    engine: str, stated: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        deployment(engine, **stated)
