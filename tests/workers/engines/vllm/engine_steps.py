"""What vLLM's core tells of a call step by step, and what becomes of it in vLLM's own hands."""

from typing import Any

ANSWER = [7, 8, 9, 2]
"""Tokens; the last one ends it."""


def asked(processor: Any, name: str, **params: Any) -> Any:
    """Where the outputs of a new call of this name will be put."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams
    from vllm.v1.engine import EngineCoreRequest
    from vllm.v1.engine.output_processor import RequestOutputCollector

    stated = {"output_kind": RequestOutputKind.FINAL_ONLY, "detokenize": False, **params}
    sampling = SamplingParams(flat_logprobs=True, max_tokens=8, **stated)
    request = EngineCoreRequest(
        request_id=name,
        external_req_id=name,
        prompt_token_ids=[1, 2, 3],
        mm_features=None,
        sampling_params=sampling,
        pooling_params=None,
        arrival_time=0.0,
        lora_request=None,
        cache_salt=None,
        data_parallel_rank=None,
    )
    queue = RequestOutputCollector(sampling.output_kind, name)
    processor.add_request(request, None, None, 0, queue)
    return queue


def steps(name: str, alternatives: int | None = 0) -> list[Any]:
    """The outputs of a call that answers ``ANSWER``, a token a step."""
    import numpy as np
    from vllm.v1.engine import EngineCoreOutput, FinishReason
    from vllm.v1.outputs import LogprobsLists

    made = []
    for at, token_id in enumerate(ANSWER):
        logprobs = None
        if alternatives is not None:
            row = [token_id, *range(20, 20 + alternatives)]
            values = [-0.5 - at - place for place in range(len(row))]
            logprobs = LogprobsLists(
                np.array([row]), np.array([values], dtype=np.float32), np.array([1])
            )
        ends = FinishReason.STOP if token_id == ANSWER[-1] else None
        made.append(
            EngineCoreOutput(
                request_id=name,
                new_token_ids=[token_id],
                new_logprobs=logprobs,
                finish_reason=ends,
            )
        )
    return made


def answer(processor: Any, name: str, alternatives: int | None) -> Any:
    """The answer to a call, its steps processed one by one."""
    queue = asked(processor, name, logprobs=alternatives)
    for step in steps(name, alternatives):
        assert queue.get_nowait() is None
        processor.process_outputs([step], weight_version="default")
    (output,) = queue.get_nowait().outputs
    return output


def rows(lists: Any) -> list[tuple[list[int], list[float]]]:
    """Of each token what was shown in its place, as vLLM's core sent it."""
    return [
        (shown.tolist(), values.tolist())
        for step in lists
        for shown, values in zip(step.logprob_token_ids, step.logprobs, strict=True)
    ]
