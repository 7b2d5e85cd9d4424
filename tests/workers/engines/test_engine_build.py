"""Engines are built from the policy's deployments, and from nothing else."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from tierqueue.router.errors import Misconfigured
from tierqueue.router.item import Tier
from tierqueue.router.policy.deployment import Deployment
from tierqueue.workers.engines import build
from tierqueue.workers.engines.anthropic import AnthropicEngine
from tierqueue.workers.engines.openai import OpenAIEngine
from tierqueue.workers.engines.vllm import VllmEngine


def a_deployment(engine: str, **changed: Any) -> Deployment:
    stated: dict[str, Any] = {
        "name": f"a-{engine}",
        "policy": "digest",
        "tier": Tier.FRONTIER,
        "engine": engine,
        "model": "some-model",
        "boundary": "vendor:somebody",
        "context_window": 8192,
        "key_env": "SOME_KEY",
    }
    return Deployment(**{**stated, **changed})


def test_each_kind_of_deployment_gets_its_engine() -> None:
    keys = {"SOME_KEY": "sk-1"}
    assert isinstance(build(a_deployment("openai"), keys), OpenAIEngine)
    assert isinstance(build(a_deployment("anthropic"), keys), AnthropicEngine)
    house = a_deployment("vllm", key_env=None, boundary="house", tier=Tier.GPU)
    assert isinstance(build(house, {}), VllmEngine)


def test_a_server_of_the_house_may_have_no_key() -> None:
    house = a_deployment(
        "openai", key_env=None, boundary="house", base_url="http://127.0.0.1:1/v1", tier=Tier.GPU
    )
    assert isinstance(build(house, {}), OpenAIEngine)


@pytest.mark.parametrize("engine", ["openai", "anthropic"])
@pytest.mark.parametrize("environ", [{}, {"SOME_KEY": ""}, {"SOME_KEY": "  "}, {"OTHER": "sk-1"}])
def test_a_missing_key_is_misconfigured_and_names_its_variable(
    engine: str, environ: dict[str, str]
) -> None:
    with pytest.raises(Misconfigured, match=rf"a-{engine} needs its key: .* SOME_KEY$"):
        build(a_deployment(engine), environ)


@pytest.mark.parametrize("key", ["sk-ü", "sk 1", "sk-1\nsk-2", "“sk-1”"])
def test_what_cannot_be_a_key_is_misconfigured_and_not_quoted(key: str) -> None:
    with pytest.raises(Misconfigured, match="SOME_KEY holds no key") as refused:
        build(a_deployment("openai"), {"SOME_KEY": key})
    assert key not in refused.value.message


@pytest.mark.parametrize(
    ("engine", "variable", "default"),
    [
        ("openai", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
        ("anthropic", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    ],
)
def test_no_variable_of_an_sdk_sends_payloads_to_another_address(
    engine: str, variable: str, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://elsewhere.invalid")
    built: Any = build(a_deployment(engine), {"SOME_KEY": "sk-1"})

    async def address() -> str:
        await built.start()
        try:
            return str(built._client.base_url)
        finally:
            await built.close()

    assert asyncio.run(address()).rstrip("/") == default


@pytest.mark.processes
def test_building_an_engine_imports_no_other_kind() -> None:
    program = (
        "import sys, tierqueue.workers.engines.openai;"
        "sys.exit(any(name in sys.modules for name in ('anthropic', 'vllm', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
