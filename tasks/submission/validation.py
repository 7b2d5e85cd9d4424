"""Validation: is a completed answer good enough to be accepted?"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import ValidationError

from tierqueue.router.outcome import Accepted, Completed, Rejected
from tierqueue.tasks.answers import reasons
from tierqueue.tasks.answers.confidence import confidence
from tierqueue.tasks.answers.repetition import repeats_itself
from tierqueue.tasks.answers.thinking import spoken
from tierqueue.tasks.results import plain
from tierqueue.tasks.submission.task_type import Doubt, OutputModel, TaskType, least_confidence

_ENDED = {
    "length": ("truncated", "the answer was cut off at its output limit"),
    "repetition": ("repetition", "the answer said one thing over and over"),
    "filtered": ("withheld", "the provider withheld the answer"),
    "too_long": ("context_window", "the context window of the model does not hold the item"),
}
"""Ends of a call that leave nothing to judge: the dead letter's reason, and what is said."""


def validate(task: TaskType, arguments: Mapping[str, Any], done: Completed) -> Accepted | Rejected:
    """Judge an answer: whole, of the task type's form, and past all its checks.

    ``Accepted.output`` is plain JSON: the model's fields, or ``{"text": …}`` for free text. The
    reasons of a ``Rejected`` say what is wrong and hold nothing of the answer. A confidence below
    the task's ``min_confidence`` is a doubt; where it is not known, nothing is said of it here.
    """
    if done.finish in _ENDED:
        endless = done.finish == "length" and repeats_itself(done.text)
        reason, ended = _ENDED["repetition" if endless else done.finish]
        return rejected(done, [ended], reason)
    model = task.output_model(arguments)
    text = spoken(done.text, as_json=model is not None)
    if not text.strip():
        return rejected(done, ["the answer is empty"])
    if model is None:
        if done.finish != "stop":
            return rejected(done, ["the answer ended for a reason that is not known"])
        done = _measured(None, text, done)
        if doubts := _doubts(arguments, done.confidence):
            return rejected(done, doubts, "low_confidence", {"text": text})
        return _accepted(task, {"text": text}, done)
    try:
        answer = model.model_validate_json(text)
    except ValidationError as error:
        return rejected(done, reasons.of_form(error, model), answer=text)
    done = _measured(model, text, done)
    complaints = [why for check in task.checks if (why := check(arguments, answer)) is not None]
    complaints += _doubts(arguments, done.confidence)
    try:
        output = plain.dumped(answer)
    except ValueError:
        # JSON has no infinity: stored as null, the output would not fit its own model.
        return rejected(done, ["the answer holds a number that is not finite"])
    if complaints:
        doubtful = all(isinstance(why, Doubt) for why in complaints)
        said = [reasons.without(output, str(why)) for why in complaints]
        return rejected(done, said, "low_confidence" if doubtful else "rejected", output)
    if isinstance(output, dict) and "confidence" not in output and _reads(task.answer_model):
        output["confidence"] = done.confidence
    return _accepted(task, output, done)


def _measured(model: OutputModel | None, text: str, done: Completed) -> Completed:
    """With the confidence that its tokens tell, and without them."""
    if not done.tokens:
        return done
    return replace(done, tokens=(), confidence=confidence(model, text, done.tokens))


def _doubts(arguments: Mapping[str, Any], confidence: float | None) -> list[str]:
    if confidence is None:
        return []
    least = least_confidence(arguments)
    if least is None or confidence >= least:
        return []
    return [Doubt(f"the confidence is below the {least} asked for")]


@cache
def _reads(model: OutputModel | None) -> bool:
    """Whether producers read a confidence, which the model was not asked to write."""
    return model is not None and "confidence" in model.model_fields


def _accepted(task: TaskType, output: Any, done: Completed) -> Accepted:
    return Accepted(output=output, completed=done, prompt_version=task.prompt_version)


def rejected(
    done: Completed, said: list[str], reason: str = "rejected", answer: Any = None
) -> Rejected:
    """An ``answer`` refused for what was ``said``; ``reason`` is the dead letter's."""
    return Rejected(
        reasons=tuple(said[: reasons.MOST]),
        usage=done.usage,
        model_served=done.model_served,
        seconds=done.seconds,
        simulated=done.simulated,
        reason=reason,
        confidence=done.confidence,
        answer=answer,
    )
