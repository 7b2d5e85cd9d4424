"""Which keys of a deployment hold for which engine, and what each engine needs."""

from collections.abc import Mapping
from typing import Any

_STRUCTURED_OUTPUTS: dict[str, tuple[str, ...]] = {
    "vllm": ("json_schema",),
    "openai": ("json_schema", "json_object", "none"),
    "anthropic": ("json_schema", "none"),
}

_PROMPT_CACHES: dict[str, tuple[str, ...]] = {
    "vllm": ("none",),
    "openai": ("none", "key"),
    "anthropic": ("none", "marks"),
}


def check(keys: Mapping[str, Any], *, metered: bool) -> None:
    """Raise ``ValueError`` where a deployment's engine lacks one of its ``keys``, or the reverse.

    ``metered``: a vendor counts its calls.
    """
    engine = keys["engine"]
    if engine == "vllm" and keys["key_env"] is not None:
        raise ValueError("key_env is for openai and anthropic engines; vllm has no key")
    if engine != "vllm" and keys["key_env"] is None and (metered or keys["base_url"] is None):
        raise ValueError(f"key_env is missing: which variable holds the {engine} key?")
    if engine != "vllm" and keys["engine_options"]:
        raise ValueError("engine_options are for vllm engines only")
    if keys["batch"] is not None and (engine == "vllm" or keys["gpu_hour"] is not None):
        raise ValueError("batch is for openai and anthropic engines that are paid by the token")
    if engine != "openai" and keys["limit_parameter"] != "max_tokens":
        raise ValueError("limit_parameter is for openai engines only")
    if engine != "openai" and keys["logprobs_parameter"] != "flag":
        raise ValueError("logprobs_parameter is for openai engines only")
    if engine != "openai" and keys["top_logprobs"]:
        raise ValueError(
            "top_logprobs is for openai engines only: vllm gives them always, anthropic never"
        )
    if engine == "anthropic" and (keys["temperature"] or 0) > 1:
        raise ValueError("temperature of anthropic engines is from 0 to 1")
    for key, ways in (("structured_output", _STRUCTURED_OUTPUTS), ("prompt_cache", _PROMPT_CACHES)):
        if keys[key] not in ways[engine]:
            raise ValueError(f"{key} of {engine} engines is {' or '.join(ways[engine])}")
