"""The kinds of engine, and the one place that builds them."""

import re
from collections.abc import Mapping

from tierqueue.router.errors import Misconfigured
from tierqueue.router.policy.deployment import Deployment
from tierqueue.workers.engines.engine import Engine

NO_KEY = "none"
"""What a server of the house without a key is sent: the SDK does not go without one."""


def build(deployment: Deployment, environ: Mapping[str, str], folder: str = "") -> Engine:
    """The engine of ``deployment``, not yet started; ``folder`` is that of the policy file.

    ``environ`` holds the variable that ``key_env`` names; raises ``Misconfigured``, naming it,
    when it is missing or empty: a missing key never brings about another engine.
    """
    # Imported where they are needed: a worker carries the SDKs of its own deployments alone.
    if deployment.engine == "vllm":
        from tierqueue.workers.engines.vllm import VllmEngine

        return VllmEngine(
            deployment=deployment.name,
            model=deployment.model,
            options=deployment.engine_options,
            adapters=deployment.adapters,
            context_window=deployment.context_window,
            vision=deployment.vision,
            folder=folder,
        )
    key = _key(deployment, environ)
    if deployment.engine == "openai":
        from tierqueue.workers.engines.openai import OpenAIEngine

        return OpenAIEngine(
            deployment=deployment.name,
            base_url=deployment.base_url,
            key=key,
            simulated=deployment.simulated,
            metered=deployment.metered,
            limit_parameter=deployment.limit_parameter,
            logprobs_parameter=deployment.logprobs_parameter,
            prompt_cache=deployment.prompt_cache,
            stream_usage=deployment.stream_usage,
            connect_timeout=deployment.connect_timeout,
            batch_api="openai" if deployment.batch is None else deployment.batch.api,
            batch_model=deployment.batched.model,
        )
    from tierqueue.workers.engines.anthropic import AnthropicEngine

    return AnthropicEngine(
        deployment=deployment.name,
        base_url=deployment.base_url,
        key=key,
        simulated=deployment.simulated,
        metered=deployment.metered,
        prompt_cache=deployment.prompt_cache,
        connect_timeout=deployment.connect_timeout,
    )


def _key(deployment: Deployment, environ: Mapping[str, str]) -> str:
    if deployment.key_env is None:
        return NO_KEY
    name = deployment.key_env
    key = environ.get(name, "").strip()
    if not key:
        raise Misconfigured(
            f"deployment {deployment.name} needs its key: set the environment variable {name}",
            {"deployment": deployment.name, "variable": name},
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise Misconfigured(
            f"deployment {deployment.name}: the variable {name} holds no key: a key is one word of"
            " visible ASCII",
            {"deployment": deployment.name, "variable": name},
        )
    return key
