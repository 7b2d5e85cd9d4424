"""A call of which only the end is asked is told of at its end, and whole."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.workers.engines.vllm.engine_steps import ANSWER, answer, asked, rows, steps

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch warns of its own future
    pytest.mark.engine,
]

LONG = 150
"""Tokens of a long answer."""


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A scheduler whose steps the test brings, and whose calls it ends."""
    from vllm.v1.core.sched.scheduler import Scheduler

    from tierqueue.workers.engines.vllm.whole_answers import WholeAnswers

    monkeypatch.setattr(Scheduler, "__init__", lambda self: None)
    monkeypatch.setattr(Scheduler, "update_from_output", lambda _, step: step)
    monkeypatch.setattr(Scheduler, "finish_requests", lambda _, requests: requests)
    made = WholeAnswers()
    made.requests = {}
    return made


@pytest.fixture
def processor() -> Any:
    from vllm.v1.engine.output_processor import OutputProcessor

    return OutputProcessor(None, log_stats=False)


def begun(scheduler: Any, name: str, **params: Any) -> None:
    """A call that the scheduler works on from now on."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    stated = {"output_kind": RequestOutputKind.FINAL_ONLY, **params}
    scheduler.requests[name] = SimpleNamespace(
        request_id=name, sampling_params=SamplingParams(**stated)
    )


def told(scheduler: Any, *outputs: Any) -> list[Any]:
    """What is told of a step that brought these."""
    message = SimpleNamespace(outputs=list(outputs), scheduler_stats="load")
    assert scheduler.update_from_output({0: message}) == {0: message}
    assert message.scheduler_stats == "load"
    return list(message.outputs)


def merged(scheduler: Any, name: str, alternatives: int | None) -> Any:
    """What is told of a call's four steps: one output."""
    begun(scheduler, name, logprobs=alternatives)
    outputs = [told(scheduler, step) for step in steps(name, alternatives)]
    assert outputs[:-1] == [[], [], []]
    (output,) = outputs[-1]
    return output


@pytest.mark.parametrize("alternatives", [None, 0, 3])
def test_an_answer_told_at_its_end_is_the_one_told_by_its_tokens(
    scheduler: Any, processor: Any, alternatives: int | None
) -> None:
    by_its_tokens = answer(processor, "a", alternatives)
    queue = asked(processor, "b", logprobs=alternatives)
    processor.process_outputs([merged(scheduler, "b", alternatives)])
    (at_its_end,) = queue.get_nowait().outputs
    assert at_its_end.token_ids == by_its_tokens.token_ids == ANSWER
    assert at_its_end.logprobs == by_its_tokens.logprobs
    assert at_its_end.finish_reason == by_its_tokens.finish_reason == "stop"


def test_of_a_token_no_more_is_told_than_was_asked(scheduler: Any) -> None:
    begun(scheduler, "a", logprobs=1)
    for step in steps("a", 3)[:3]:
        assert told(scheduler, step) == []
    (output,) = told(scheduler, steps("a", 1)[3])
    assert rows([output.new_logprobs]) == rows([step.new_logprobs for step in steps("a", 1)])


def test_what_the_prompt_took_is_told_with_the_answer(scheduler: Any) -> None:
    from vllm.v1.metrics.stats import PrefillStats

    begun(scheduler, "a", logprobs=0)
    first, *others = steps("a")
    first.prefill_stats = PrefillStats()
    outputs = [told(scheduler, step) for step in (first, *others)]
    assert outputs[:-1] == [[], [], []]
    assert outputs[-1][0].prefill_stats is first.prefill_stats


def test_a_long_answer_is_told_in_parts_of_which_none_is_lost(scheduler: Any) -> None:
    from vllm.v1.engine import EngineCoreOutput, FinishReason

    begun(scheduler, "a", max_tokens=LONG)
    parts = []
    for at in range(LONG):
        ends = FinishReason.LENGTH if at == LONG - 1 else None
        step = EngineCoreOutput(request_id="a", new_token_ids=[at], finish_reason=ends)
        parts += told(scheduler, step)
    assert [len(part.new_token_ids) for part in parts] == [64, 64, 22]
    assert [token for part in parts for token in part.new_token_ids] == list(range(LONG))


def test_a_call_whose_tokens_are_read_as_they_come_is_vllms_own(scheduler: Any) -> None:
    from vllm.sampling_params import RequestOutputKind

    begun(scheduler, "streams", output_kind=RequestOutputKind.DELTA)
    begun(scheduler, "stops", stop=["end"])
    for name in ("streams", "stops"):
        for step in steps(name, None):
            assert told(scheduler, step) == [step]
            assert len(step.new_token_ids) == 1


def test_nothing_is_left_of_a_call_that_was_ended_from_outside(scheduler: Any) -> None:
    begun(scheduler, "a", logprobs=0)
    assert told(scheduler, steps("a")[0]) == []
    scheduler.finish_requests([scheduler.requests["a"]])
    merged_anew = merged(scheduler, "a", 0)
    assert merged_anew.new_token_ids == ANSWER
