"""What is kept of each step is what vLLM itself makes of it, read at the end."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.workers.engines.vllm.engine_steps import ANSWER, answer, asked, rows, steps
from tierqueue.workers.engines.vllm import outputs

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch warns of its own future
    pytest.mark.engine,
]


@pytest.fixture
def processor() -> Any:
    from vllm.v1.engine.output_processor import OutputProcessor

    return OutputProcessor(None, log_stats=False)


def kept(processor: Any) -> Any:
    """The same, once what comes is kept as it comes."""
    outputs.kept_as_they_come(SimpleNamespace(output_processor=processor))
    return processor


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
