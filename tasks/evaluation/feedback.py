"""People's feedback on answers: right or wrong, and what would have been right."""

import json
from typing import TYPE_CHECKING, Any

from celery.result import AsyncResult
from pydantic import BaseModel, ValidationError

from tierqueue.router.errors import InvalidItem
from tierqueue.router.lifecycle import ENDS, State
from tierqueue.tasks.answers import reasons
from tierqueue.tasks.app import app
from tierqueue.tasks.results import plain
from tierqueue.tasks.submission.item_task import ItemTask

if TYPE_CHECKING:
    from tierqueue.ledger.evaluation.labels import Label, LabelledItem


def feedback(
    item: str | AsyncResult,
    *,
    correct: bool | None = None,
    corrected_output: Any = None,
    by: str = "python",
) -> None:
    """Say whether an item's answer was right, or what it should have been; the last word counts.

    ``item``: its result or its id. ``corrected_output``: the whole output as the task type's model
    has it, or the model itself; it says that the answer was wrong. ``by``: who says so, for the
    audit log. Raises ``InvalidItem`` for an item that is not there, has not ended or was erased,
    for one without an answer where none is given, and for an output that is none of its task type.
    """
    from tierqueue.ledger.evaluation import labels
    from tierqueue.ledger.evaluation.labels import Label
    from tierqueue.ledger.results.promises import items_of

    named = str(item.id) if isinstance(item, AsyncResult) else item
    if correct is None and corrected_output is None:
        raise InvalidItem("say whether the answer is correct, or what it should have been")
    if correct and corrected_output is not None:
        raise InvalidItem("an answer that is correct needs no other: leave one of the two out")
    with app.installation.ledger.write() as connection:
        item_id = next(iter(items_of(connection, [named])), named)
        found = labels.judgeable(connection, item_id)
        if found is None:
            raise InvalidItem(f"there is no item {named}")
        corrected = None if corrected_output is None else checked(found, corrected_output)
        label = Label(correct=bool(correct), corrected=corrected, by=by)
        refuse_unfit(found, label)
        labels.put(connection, found, label)


def refuse_unfit(item: "LabelledItem", label: "Label") -> None:
    """Raise ``InvalidItem`` for an item of which this cannot be said."""
    if item.erased:
        raise InvalidItem(f"item {item.id} was erased: nobody can say what is right of it")
    if item.decided_by is not None:
        raise InvalidItem(f"item {item.id} was decided by {item.decided_by} in a review")
    if item.state not in ENDS:
        raise InvalidItem(f"item {item.id} has not ended: it is {item.state.value}")
    if item.state is not State.SUCCEEDED and label.corrected is None:
        raise InvalidItem(
            f"item {item.id} has no answer, it is {item.state.value}: say what it should have been"
        )


def checked(item: "LabelledItem", output: Any) -> Any:
    """An output as an accepted answer to the item would be kept; of free text the text will
    do, and of an output of one field what it holds.

    Raises ``InvalidItem`` for one that does not fit, and holds nothing of it.
    """
    import tierqueue.tasks.kinds  # noqa: F401  # they declare themselves

    task = ItemTask.declared.get(item.task)
    if task is None:
        raise InvalidItem(
            f"item {item.id} is of {item.task}, which is not imported here: import its module first"
        )
    if item.arguments is None:
        raise InvalidItem(f"item {item.id} was erased: nobody can say what is right of it")
    if isinstance(output, BaseModel):
        output = output.model_dump(mode="json")
    model = task.output_model(item.arguments)
    if model is None:
        text = output.get("text") if isinstance(output, dict) and len(output) == 1 else output
        if not isinstance(text, str) or not text.strip():
            raise InvalidItem(f"{item.task} answers with a text: give one that is not empty")
        return {"text": text}
    tells = task.answer_model is not None and "confidence" in task.answer_model.model_fields
    measured = tells and "confidence" not in model.model_fields
    if measured and isinstance(output, dict):
        output = {name: value for name, value in output.items() if name != "confidence"}
    if isinstance(output, str) and len(model.model_fields) == 1:
        (name, own), *_ = model.model_fields.items()
        output = {own.alias or name: output}
    try:
        kept = plain.dumped(model.model_validate_json(json.dumps(output)))
    except ValidationError as error:
        said = "; ".join(reasons.of_form(error, model))
        raise InvalidItem(f"that is no output of {item.task} to this item: {said}") from None
    except (TypeError, ValueError):
        raise InvalidItem(f"an output of {item.task} is plain JSON") from None
    return {**kept, "confidence": None} if measured and isinstance(kept, dict) else kept
