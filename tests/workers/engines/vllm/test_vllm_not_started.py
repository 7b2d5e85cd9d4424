"""What a worker says whose engine did not start."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tierqueue.workers.engines.vllm.start_failures import unknown, why


class CacheConfig(BaseModel):
    """As vLLM's own configuration is checked."""

    model_config = ConfigDict(extra="forbid")
    cache_dtype: str = "auto"
    size: Annotated[int, Field(gt=0)] = 1


def refused(**stated: Any) -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        CacheConfig(**stated)
    return raised.value


def test_an_option_that_vllm_does_not_have_is_named_with_the_nearest_one() -> None:
    known = {"max_model_len", "quantization"}
    assert unknown(["quantization"], known) is None
    said = unknown(["max_model_length"], known)
    assert said == "vLLM has no engine option 'max_model_length'; did you mean 'max_model_len'?"


def test_a_value_that_vllm_refuses_is_named_by_its_option_without_what_surrounds_it() -> None:
    said = why("m", {"kv_cache_dtype": 9}, refused(cache_dtype=9))
    assert said == "engine_options.kv_cache_dtype: Input should be a valid string"
    said = why("m", {"max": 1}, refused(size=0, other=1))
    assert said == (
        "engine_options.size: Input should be greater than 0; "
        "engine_options.other: Extra inputs are not permitted"
    )


@pytest.mark.parametrize("model", ["/nowhere/at/all", "./nowhere", "nowhere.gguf"])
def test_a_path_that_is_not_there_is_said_to_be_none(model: str) -> None:
    assert why(model, {}, ValueError("Repo id must be …")) == f"there is no {model} on this machine"


def test_what_is_on_no_disk_is_told_how_it_comes_there() -> None:
    class LocalEntryNotFoundError(Exception):
        """As huggingface_hub's."""

    class HFValidationError(Exception):
        """As huggingface_hub's."""

    said = why("acme/none", {}, LocalEntryNotFoundError("outgoing traffic has been disabled"))
    assert "`hf download acme/none`" in said
    said = why("acme/none:Q4", {}, HFValidationError("Repo id must use alphanumeric chars"))
    assert said.startswith("acme/none:Q4 is neither a folder of this machine nor a Hugging Face id")


def test_any_other_error_is_told_as_it_is(tmp_path: Path) -> None:
    said = why(str(tmp_path), {}, RuntimeError("Engine core initialization failed. See above."))
    assert "its own error stands above" in said
    said = why(str(tmp_path), {}, OSError("unpack requires a buffer of 8 bytes"))
    assert said == "OSError: unpack requires a buffer of 8 bytes. Are the model's files whole?"
