"""A call as vLLM is given it: its prompt as one text, and how to answer it."""

import json
from functools import cache, lru_cache
from typing import Any

from tierqueue.workers.engines.engine import Call

GRAMMARS = 256
"""How many schemas an engine remembers as checked; the least recently used goes."""


# Templates that know no thinking ignore the word; a thinking model would spend the output limit
# before it answers.
TEMPLATE = {"enable_thinking": False}
"""What every chat template is told."""


def plain(call: Call, structured: Any) -> dict[str, Any]:
    """Arguments of vLLM's ``SamplingParams`` for a call; ``structured``: what holds its schema."""
    from vllm.sampling_params import RequestOutputKind

    return {
        "temperature": call.temperature or 0.0,
        "max_tokens": call.output_limit,
        "output_kind": RequestOutputKind.FINAL_ONLY,
        "logprobs": call.alternatives,
        "flat_logprobs": call.alternatives is not None,
        "detokenize": call.alternatives is None,
        "skip_clone": True,  # made for this call alone
        "structured_outputs": None if call.schema is None else structured(json.dumps(call.schema)),
    }


def structured(schema: str) -> Any:
    """What has vLLM hold an answer to a schema, without whitespace between its tokens."""
    from vllm.sampling_params import StructuredOutputsParams

    return StructuredOutputsParams(json=schema, disable_any_whitespace=True)


class Sampling:
    """One engine's way to tell vLLM how a call is to be answered: as its ``SamplingParams``.

    Calls with the same schema share one object, which bears the mark that vLLM has checked it.
    """

    def __init__(self) -> None:
        self._checked_once = _checked_once()
        self._shared = lru_cache(maxsize=GRAMMARS)(structured)

    def __call__(self, call: Call) -> Any:
        """How this call is to be answered."""
        return self._checked_once(**plain(call, self._shared))

    def of_form(self, schema: str) -> Any:
        """As of a call of which nothing is known but the schema of its answer."""
        return self._checked_once(structured_outputs=self._shared(schema))


def alone(schema: str) -> Any:
    """As ``Sampling.of_form``, for a schema that no call states."""
    from vllm.sampling_params import SamplingParams

    return SamplingParams(structured_outputs=structured(schema))


@cache
def _checked_once() -> Any:
    """``SamplingParams`` of which vLLM checks a schema at its first call alone.

    vLLM 0.32 makes a grammar of every request's schema, only to see whether it can.
    """
    from vllm.sampling_params import SamplingParams

    class OnceCheckedParams(SamplingParams):  # type: ignore[misc]
        def _validate_structured_outputs(self, *configuration: Any) -> None:
            asked = self.structured_outputs
            if asked is None or asked._backend is not None:  # noqa: SLF001 - vLLM's own mark
                return
            try:
                super()._validate_structured_outputs(*configuration)
            except Exception:
                asked._backend = None  # noqa: SLF001
                raise

    return OnceCheckedParams


def prompt_text(tokenizer: Any, call: Call) -> str:
    """The whole prompt as the model's chat template writes it, if it has one."""
    asked = call.prefix + call.question
    if not templated(tokenizer):
        return call.system + asked
    messages = [{"role": "user", "content": asked}]
    if call.system:
        messages.insert(0, {"role": "system", "content": call.system})
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **TEMPLATE
    )
    return text


def templated(tokenizer: Any) -> bool:
    """Whether the model has a chat template, which writes the special tokens itself."""
    return bool(getattr(tokenizer, "chat_template", None))
