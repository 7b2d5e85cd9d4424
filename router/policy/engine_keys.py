"""Keys of a deployment by engine: those that hold for it, and those that it needs."""

from collections.abc import Mapping
from typing import Any

from tierqueue.router.policy.policy_errors import dotted

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

_STATED_ELSEWHERE = {
    "model": "the model is stated as the deployment's model",
    "enable_log_requests": "prompts are never written into a log",
}
"""Options of vLLM that are not the policy's to set, and why."""


def check(keys: Mapping[str, Any], *, metered: bool, counted: bool) -> None:
    """Raise ``ValueError`` where a deployment's engine lacks one of its ``keys``, or the reverse.

    ``metered``: a vendor counts its calls; ``counted``: it is known how its model counts images.
    """
    engine = keys["engine"]
    if engine == "vllm" and keys["key_env"] is not None:
        raise ValueError("key_env is for openai and anthropic engines; vllm has no key")
    if engine != "vllm" and keys["key_env"] is None and (metered or keys["base_url"] is None):
        raise ValueError(f"key_env is missing: which variable holds the {engine} key?")
    if keys["first_token_timeout"] is not None:
        _check_streams(keys, metered=metered)
    _check_options(keys["engine_options"], engine)
    _check_adapters(keys, engine)
    _check_lanes(keys)
    _check_images(keys, counted=counted)
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


def with_own_window(stated: dict[str, Any]) -> dict[str, Any]:
    """A deployment's keys with the context window that its engine is told to have."""
    options = stated.get("engine_options")
    if (
        stated.get("engine") != "vllm"
        or "context_window" in stated
        or not isinstance(options, dict)
    ):
        return stated
    told = options.get("max_model_len")
    # vLLM also takes "32k", and -1 for as much as the memory holds: neither is a number of tokens.
    known = type(told) is int and told > 0
    return {**stated, "context_window": told} if known else stated


def _check_options(options: Mapping[str, Any], engine: str) -> None:
    """The same of the options of vLLM, whose names and values vLLM itself checks."""
    if engine != "vllm" and options:
        raise ValueError("engine_options are for vllm engines only")
    for option, instead in _STATED_ELSEWHERE.items():
        if option in options:
            raise ValueError(f"engine_options.{option}: {instead}")


def _check_adapters(keys: Mapping[str, Any], engine: str) -> None:
    """The same of the adapters by which task types are answered."""
    if engine != "vllm" and keys["adapters"]:
        raise ValueError("adapters are for vllm engines only: a server names its own as models")
    for task in keys["adapters"]:
        if keys["tasks"] is not None and task not in keys["tasks"]:
            raise ValueError(
                f"{dotted('adapters', task)}: the deployment does {', '.join(keys['tasks'])} only"
            )
    for option in ("enable_lora", "max_loras"):
        if keys["adapters"] and option in keys["engine_options"]:
            raise ValueError(f"engine_options.{option} is set by the adapters: leave it out")


def _check_lanes(keys: Mapping[str, Any]) -> None:
    """The same of the lanes that are stated."""
    engine, by_the_token = keys["engine"], keys["gpu_hour"] is None
    if keys["batch"] is not None and (engine == "vllm" or not by_the_token):
        raise ValueError("batch is for openai and anthropic engines that are paid by the token")
    if keys["batch"] is not None and (keys["batch"].api == "anthropic") != (engine == "anthropic"):
        raise ValueError(f'batch.api = "{keys["batch"].api}" is not what {engine} engines speak')
    if keys["flex"] is not None and (engine != "openai" or not by_the_token):
        raise ValueError("flex is for openai engines that are paid by the token")


def _check_streams(keys: Mapping[str, Any], *, metered: bool) -> None:
    """The same of a deployment whose answers are streamed."""
    if keys["engine"] == "vllm":
        raise ValueError("first_token_timeout is for openai and anthropic engines")
    if keys["first_token_timeout"] >= keys["timeout"]:
        raise ValueError("first_token_timeout is not below timeout, which ends a call before")
    if metered and keys["stream_usage"] == "none":
        raise ValueError(
            'first_token_timeout needs streams that tell what they cost, and stream_usage is "none"'
        )


def _check_images(keys: Mapping[str, Any], *, counted: bool) -> None:
    """The same of what is said of images."""
    if keys["image_tokens"] is not None and not keys["vision"]:
        raise ValueError("image_tokens needs vision = true: it takes no images")
    if keys["vision"] and keys["redact"] is not None:
        raise ValueError(BLIND)
    if keys["vision"] and not counted:
        raise ValueError(
            f"vision is stated, and how {keys['model']} counts images is not known: state"
            " image_tokens, the most tokens that one counts as"
        )


BLIND = "vision is stated, and what is sent there is redacted, which an image cannot be: state one"
