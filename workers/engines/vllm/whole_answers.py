"""vLLM's scheduler, telling of an answer once instead of a token at a time. The core imports it.

Nobody reads an answer here before its end, and each step's message names every running call: of
32 tokens each, packing, sending and unpacking them took more than all that is done with an item.
"""

from collections.abc import Iterable
from typing import Any

from vllm.sampling_params import RequestOutputKind
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutput

from tierqueue.workers.engines.vllm.outputs import more_than_tokens

MOST_TOKENS = 64
"""How many of a call's tokens are held at most before they are told."""


class WholeAnswers(Scheduler):  # type: ignore[misc]
    """As vLLM's own, but that a call of which only the end is asked is told of at its end, or
    after ``MOST_TOKENS``. ``scheduler_cls`` of an engine that does not schedule ahead.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._held: dict[str, PendingOutputs] = {}

    def update_from_output(self, *given: Any, **named: Any) -> Any:
        """What the step brought, less what is held."""
        told = super().update_from_output(*given, **named)
        for message in told.values():
            message.outputs = [whole for one in message.outputs if (whole := self._whole(one))]
        return told

    def finish_requests(self, *given: Any, **named: Any) -> Any:
        """End calls from outside; what was held of them is dropped."""
        ended = super().finish_requests(*given, **named)
        for request in ended:
            self._held.pop(request.request_id, None)
        return ended

    def _whole(self, output: EngineCoreOutput) -> EngineCoreOutput | None:
        held = self._held.get(output.request_id)
        if held is None:
            request = self.requests.get(output.request_id)
            if request is None or not end_alone_is_asked(request.sampling_params):
                return output
            held = self._held[output.request_id] = PendingOutputs(
                request.sampling_params.num_logprobs
            )
        if held.takes(output):
            return None
        del self._held[output.request_id]
        return held.with_the_last(output)


def end_alone_is_asked(sampling: Any) -> bool:
    """Whether nobody reads a token of such a call before its last, not even for a stop string."""
    if sampling is None or sampling.stop or sampling.num_logprobs == -1:
        return False
    return bool(sampling.output_kind is RequestOutputKind.FINAL_ONLY)


class PendingOutputs:
    """The outputs of one call that were not told yet. ``alternatives``: how many of a token were
    asked for, ``None`` for no probabilities.
    """

    def __init__(self, alternatives: int | None) -> None:
        self._width = 0 if alternatives is None else alternatives + 1
        self._outputs: list[EngineCoreOutput] = []
        self._tokens = 0

    def takes(self, output: EngineCoreOutput) -> bool:
        """Keep an output that can wait."""
        count = self._tokens + len(output.new_token_ids)
        first = not self._outputs
        if count >= MOST_TOKENS or more_than_tokens(output, but_of_the_prompt=first):
            return False
        self._tokens = count
        self._outputs.append(output)
        return True

    def with_the_last(self, output: EngineCoreOutput) -> EngineCoreOutput:
        """``output``, and in it what was kept before it."""
        if self._outputs:
            outputs = [*self._outputs, output]
            output.new_token_ids = [token for one in outputs for token in one.new_token_ids]
            output.prefill_stats = output.prefill_stats or self._outputs[0].prefill_stats
            if self._width:
                output.new_logprobs = _joined([one.new_logprobs for one in outputs], self._width)
        return output


def _joined(steps: Iterable[Any], width: int) -> Any:
    """All as one ``LogprobsLists``; a step shows of each call as many as any of them asks for."""
    import numpy as np
    from vllm.v1.outputs import LogprobsLists

    there = [step for step in steps if step is not None]
    if not there:
        return None
    return LogprobsLists(
        np.concatenate([step.logprob_token_ids[:, :width] for step in there]),
        np.concatenate([step.logprobs[:, :width] for step in there]),
        np.concatenate([step.sampled_token_ranks for step in there]),
    )
