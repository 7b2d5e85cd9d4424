"""What is kept of each step is what vLLM itself makes of it, read at the end."""

from types import SimpleNamespace
from typing import Any

import pytest

from tierqueue.workers.engines.vllm import outputs

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch warns of its own future
    pytest.mark.engine,
]

ANSWER = [7, 8, 9, 2]
"""Tokens; the last one ends it."""


@pytest.fixture
def processor() -> Any:
    from vllm.v1.engine.output_processor import OutputProcessor

    return OutputProcessor(None, log_stats=False)


def kept(processor: Any) -> Any:
    """The same, once what comes is kept as it comes."""
    outputs.kept_as_they_come(SimpleNamespace(output_processor=processor))
    return processor


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


@pytest.mark.parametrize("alternatives", [0, 3])
def test_tokens_and_probabilities_are_those_of_vllms_own_lists(
    processor: Any, alternatives: int
) -> None:
    from vllm.v1.engine.output_processor import OutputProcessor

    own = answer(OutputProcessor(None, log_stats=False), "a", alternatives)
    ours = answer(kept(processor), "a", alternatives)
    assert ours.token_ids == own.token_ids == ANSWER
    assert ours.finish_reason == own.finish_reason == "stop"
    flat = own.logprobs
    assert rows(ours.logprobs) == [
        (flat.token_ids[begin:end], flat.logprobs[begin:end])
        for begin, end in zip(flat.start_indices, flat.end_indices, strict=True)
    ]
    assert not processor.request_states


def test_a_call_without_probabilities_has_none(processor: Any) -> None:
    ours = answer(kept(processor), "a", None)
    assert ours.token_ids == ANSWER
    assert ours.logprobs is None


def test_a_step_says_only_what_is_more_than_tokens_to_vllm(
    processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    processed: list[str] = []
    own = processor.process_outputs

    def process(some: list[Any], *more: Any, **named: Any) -> Any:
        processed.extend(f"{output.request_id}{output.new_token_ids[0]}" for output in some)
        return own(some, *more, **named)

    monkeypatch.setattr(processor, "process_outputs", process)
    answer(kept(processor), "a", 0)
    assert processed == ["a7", "a2"]


def test_a_call_that_streams_is_vllms_own(processor: Any) -> None:
    from vllm.sampling_params import RequestOutputKind

    queue = asked(kept(processor), "a", output_kind=RequestOutputKind.DELTA, logprobs=0)
    streamed = []
    for step in steps("a"):
        processor.process_outputs([step])
        streamed += queue.get_nowait().outputs[0].token_ids
    assert streamed == ANSWER


def test_a_step_of_a_call_that_was_ended_is_left(processor: Any) -> None:
    asked(kept(processor), "a", logprobs=0)
    first, *others = steps("a")
    processor.process_outputs([first])
    processor.abort_requests(["a"], internal=True)
    processor.process_outputs(others)
    assert not processor.request_states
