"""What each provider takes: stated by the policy, given by its profile, or known of its host."""

import json
from typing import Any

import pytest

from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.policy.profiles import PROFILES


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
        ("https://api.moonshot.ai/v1", "max_completion_tokens", "json_object"),
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
        ("openai", {"prompt_cache": "marks"}, "prompt_cache of openai engines is none or key"),
        (
            "anthropic",
            {"prompt_cache": "key"},
            "prompt_cache of anthropic engines is none or marks",
        ),
        ("vllm", {"prompt_cache": "key"}, "prompt_cache of vllm engines is none"),
        ("anthropic", {"logprobs_parameter": "number"}, "openai engines only"),
        ("anthropic", {"temperature": 1.5}, "temperature of anthropic engines is from 0 to 1"),
        ("openai", {"temperature": 2.5}, "temperature"),
    ],
)
def test_what_no_such_engine_takes_is_refused(
    engine: str, stated: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        deployment(engine, **stated)


def of_profile(name: str, **stated: Any) -> Deployment:
    lines = {"tier": "frontier", "profile": name, "model": "m", "context_window": 8192, **stated}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    return parse_policy(f"[deployments.d]\n{text}", "test").deployments["d"]


OWN = {"base_url": "http://10.0.0.1:8000/v1", "boundary": "house", "tier": "gpu"}
AZURE = {"base_url": "https://team.openai.azure.com/openai/v1"}


def used(name: str) -> Deployment:
    """A deployment that states its profile and no more than the profile leaves open."""
    profile = PROFILES[name]
    return of_profile(name, **(AZURE if name == "azure" else {} if profile.vendor else OWN))


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_gives_what_the_policy_does_not_say(name: str) -> None:
    profile, found = PROFILES[name], used(name)
    assert found.engine == profile.engine
    assert found.limit_parameter == profile.limit_parameter
    assert found.structured_output == profile.structured_output
    assert found.top_logprobs == profile.top_logprobs
    assert found.logprobs_parameter == profile.logprobs_parameter
    assert found.prompt_cache == profile.prompt_cache
    assert found.boundary == (f"vendor:{name}" if profile.vendor else "house")
    assert found.key_env == profile.key_env


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_says_where_it_has_it_from(name: str) -> None:
    profile = PROFILES[name]
    assert profile.sources
    assert all(source.startswith("https://") for source in profile.sources)
    assert profile.top_logprobs in (0, profile.most_logprobs)
    assert (profile.key_env is None) is not profile.vendor
    assert profile.base_url is None or profile.serves(profile.base_url)


def test_each_key_that_a_profile_gives_can_be_stated() -> None:
    found = of_profile(
        "together",
        limit_parameter="max_completion_tokens",
        structured_output="none",
        top_logprobs=0,
        logprobs_parameter="flag",
        prompt_cache="key",
        boundary="vendor:eu",
        key_env="EU_KEY",
        base_url="https://eu.together.example/v1",
    )
    assert (found.limit_parameter, found.structured_output) == ("max_completion_tokens", "none")
    assert (found.top_logprobs, found.logprobs_parameter) == (0, "flag")
    assert (found.prompt_cache, found.boundary, found.key_env) == ("key", "vendor:eu", "EU_KEY")
    assert found.base_url == "https://eu.together.example/v1"


@pytest.mark.parametrize(
    ("name", "stated", "said"),
    [
        ("togther", {}, "deployments.d: profile: .*'togther'; did you mean 'together'"),
        ("open-ai", {}, "did you mean 'openai'"),
        ("vllm", {"boundary": "house"}, "base_url is missing: profile 'vllm' has no address"),
        ("azure", {}, "base_url is missing"),
        ("anthropic", {"engine": "openai"}, "leave engine out"),
        ("vllm", {"engine": "vllm", "boundary": "house"}, "leave engine out"),
        ("vllm", {"base_url": "http://10.0.0.1/v1"}, "boundary: is missing"),
        # Where the payload does not go to the provider itself, who sees it has to be said.
        ("openai", {"base_url": "https://proxy.example/v1"}, "boundary: is missing"),
        ("openai", {"base_url": "http://[::1"}, "URL"),
        ("openai", {"base_url": 3}, "base_url|boundary"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused(
    name: str, stated: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        of_profile(name, **stated)


def test_how_a_request_is_spelt_is_no_part_of_a_deployments_terms() -> None:
    plain = deployment(base_url="https://host.example/v1")
    spelt = deployment(base_url="https://host.example/v1", prompt_cache="key")
    assert plain.terms == spelt.terms
    limited = deployment(base_url="https://host.example/v1", reasoning_tokens=7)
    assert limited.terms != plain.terms
