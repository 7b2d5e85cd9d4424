"""Failures of vLLM to start, in words that say what to do."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tierqueue.router.policy.policy_errors import nearest, plain_message

_ABOVE = "its own error stands above in the worker's output"


def unknown(options: Iterable[str], known: Collection[str]) -> str | None:
    """What is wrong with the names of engine options; ``None``: vLLM has them all."""
    for option in options:
        if option not in known:
            return f"vLLM has no engine option {option!r}{nearest(option, known)}"
    return None


def why(model: str, options: Mapping[str, Any], error: Exception) -> str:
    """What kept ``model`` from being served, in one line, by the error that vLLM raised."""
    return " ".join(_why(model, options, error).split())


def _why(model: str, options: Mapping[str, Any], error: Exception) -> str:
    kind = type(error).__name__
    if isinstance(error, ValidationError):
        return "; ".join(_refused(options, found) for found in error.errors(include_url=False))
    if _is_path(model) and not Path(model).exists():
        return f"there is no {model} on this machine"
    if kind == "HFValidationError":
        return f"{model} is neither a folder of this machine nor a Hugging Face id (owner/name)"
    if kind == "LocalEntryNotFoundError":
        return (
            f"the files of {model} are not on this machine, and a worker downloads nothing: "
            f"`hf download {model}`, or HF_HUB_OFFLINE=0 in its environment"
        )
    if "Engine core initialization failed" in str(error):
        return f"its engine core ended while it read the model: {_ABOVE}"
    return f"{kind}: {error}. Are the model's files whole?"


def _is_path(model: str) -> bool:
    return model.startswith((".", "/", "~")) or model.endswith((".gguf", ".safetensors"))


def _refused(options: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    said = plain_message(found).strip()
    where = [str(part) for part in found["loc"] if "[" not in str(part)]
    if not where:
        return said
    # vLLM calls some options otherwise in itself: `kv_cache_dtype` is its `cache_dtype`.
    named = next((name for name in options if name == where[0] or name.endswith(where[0])), None)
    return f"engine_options.{'.'.join([named or where[0], *where[1:]])}: {said}"
