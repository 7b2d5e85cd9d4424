"""What vLLM is given of a call: its prompt as one text, and how to answer it."""

from typing import Any

from tierqueue.workers.engines.engine import Call


def sampling(call: Call) -> Any:
    """What vLLM is told of how to answer a call: its ``SamplingParams``."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    return SamplingParams(
        temperature=0.0,
        max_tokens=call.output_limit,
        output_kind=RequestOutputKind.FINAL_ONLY,
        logprobs=call.alternatives,
        flat_logprobs=call.alternatives is not None,
        detokenize=call.alternatives is None,
        skip_clone=True,  # made for this call alone
        structured_outputs=(
            None
            if call.schema is None
            else StructuredOutputsParams(json=dict(call.schema), disable_any_whitespace=True)
        ),
    )


def prompt_text(tokenizer: Any, call: Call) -> str:
    """The whole prompt as the model's chat template writes it, if it has one."""
    asked = call.prefix + call.question
    if not templated(tokenizer):
        return call.system + asked
    messages = [{"role": "user", "content": asked}]
    if call.system:
        messages.insert(0, {"role": "system", "content": call.system})
    # Templates that know no thinking ignore the word; a thinking model would spend the
    # output limit before it answers.
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return text


def templated(tokenizer: Any) -> bool:
    """Whether the model has a chat template, which writes the special tokens itself."""
    return bool(getattr(tokenizer, "chat_template", None))
