"""Validation: is a completed answer good enough to be accepted?"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tierqueue.router.outcome import Accepted, Completed, Rejected
from tierqueue.tasks.base import Doubt, ItemTask


def validate(task: ItemTask, arguments: Mapping[str, Any], done: Completed) -> Accepted | Rejected:
    """Judge an answer: whole, of the task type's form, and past all its checks.

    ``Accepted.output`` is plain JSON: the model's fields, or ``{"text": …}`` for free text. The
    reasons of a ``Rejected`` say what is wrong and hold nothing of the answer.
    """
    if done.finish == "length":
        return _rejected(done, ["the answer was cut off at its output limit"])
    if done.finish == "filtered":
        return _rejected(done, ["the provider withheld the answer"])
    model = task.output_model(arguments)
    if model is None:
        if not done.text.strip():
            return _rejected(done, ["the answer is empty"])
        return Accepted(output={"text": done.text}, completed=done)
    try:
        answer = model.model_validate_json(done.text)
    except ValidationError as error:
        return _rejected(done, [_reason(each) for each in error.errors(include_input=False)])
    complaints = [why for check in task.checks if (why := check(arguments, answer)) is not None]
    if complaints:
        doubtful = all(isinstance(why, Doubt) for why in complaints)
        return _rejected(done, complaints, doubtful=doubtful)
    return Accepted(output=json.loads(answer.model_dump_json()), completed=done)


def _reason(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "answer"
    # pydantic's messages quote the input for some kinds of error; its kinds never do.
    return f"{where}: {error['type'].replace('_', ' ')}"


def _rejected(done: Completed, reasons: list[str], *, doubtful: bool = False) -> Rejected:
    return Rejected(
        reasons=tuple(str(reason) for reason in reasons),
        usage=done.usage,
        model_served=done.model_served,
        seconds=done.seconds,
        simulated=done.simulated,
        doubtful=doubtful,
    )
