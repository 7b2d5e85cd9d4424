"""The outputs of vLLM, token by token: next to no work for a call that is read at its end."""

from typing import Any


def kept_as_they_come(llm: Any) -> None:
    """Have probabilities kept as the engine core sends them, to be read at an answer's end.

    vLLM 0.32 makes lists of each token's own, and looks at each token of each call for a stream, a
    stop string and statistics: of 32 tokens that took more of this process than all else of a
    call. ``CompletionOutput.logprobs`` is then a list of vLLM's ``LogprobsLists``, one a step. What
    begins or ends an answer, and any other kind of call, is vLLM's own as before.
    """
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.detokenizer import IncrementalDetokenizer
    from vllm.v1.engine.logprobs import LogprobsProcessor

    class OneByOne(LogprobsProcessor):  # type: ignore[misc]
        def update_from_output(self, output: Any) -> None:
            if output.new_logprobs is not None:
                self.logprobs.append(output.new_logprobs)

    processor = llm.output_processor
    add, process, states = (
        processor.add_request,
        processor.process_outputs,
        processor.request_states,
    )

    def read_at_its_end(state: Any) -> bool:
        no_text = type(state.detokenizer) is IncrementalDetokenizer
        return no_text and state.output_kind is RequestOutputKind.FINAL_ONLY

    def add_request(asked: Any, *more: Any, **named: Any) -> None:
        add(asked, *more, **named)
        state = states[asked.request_id]
        if read_at_its_end(state) and state.logprobs_processor.num_logprobs is not None:
            state.logprobs_processor.__class__ = OneByOne
            state.logprobs_processor.logprobs = []

    def process_outputs(outputs: list[Any], *more: Any, **named: Any) -> Any:
        rest = []
        for output in outputs:
            state = states.get(output.request_id)
            begun = state is not None and not state.is_prefilling and read_at_its_end(state)
            if not begun or more_than_tokens(output):
                rest.append(output)
                continue
            state.detokenizer.token_ids += output.new_token_ids
            state.logprobs_processor.update_from_output(output)
        return process(rest, *more, **named)

    processor.add_request, processor.process_outputs = add_request, process_outputs


def more_than_tokens(output: Any, *, but_of_the_prompt: bool = False) -> bool:
    """Whether a step brought anything but the next tokens and their probabilities, or, with
    ``but_of_the_prompt``, anything but these and what the prompt took.
    """
    return (
        output.finish_reason is not None
        or output.new_prompt_logprobs_tensors is not None
        or output.pooling_output is not None
        or (output.prefill_stats is not None and not but_of_the_prompt)
        or output.routed_experts is not None
        or output.mm_cache_miss_hashes is not None
        or output.new_sampling_mask is not None
        or output.spec_decode_metrics is not None
    )
