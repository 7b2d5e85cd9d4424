"""``classify``: which of these labels fits the text?"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Unpack

from pydantic import BaseModel, ConfigDict, Field, create_model

from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.demands import Demands
from tierqueue.tasks.submission.prompt import Prompt
from tierqueue.tasks.submission.task_type import Doubt

Text = Annotated[str, Field(min_length=1)]
Labels = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2, max_length=500)]
Share = Annotated[float, Field(ge=0, le=1)]


class Classification(BaseModel):
    """The output of ``classify``: one of the labels, and how sure the model is of it, 0 to 1."""

    label: str
    confidence: float


@lru_cache(maxsize=256)
def _model(labels: tuple[str, ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {"label": (Literal[labels], ...), "confidence": (Share, ...)}
    return create_model("Classification", __config__=ConfigDict(extra="forbid"), **fields)


def _output(arguments: Mapping[str, Any]) -> type[BaseModel]:
    return _model(tuple(arguments["labels"]))


def _sure(arguments: Mapping[str, Any], answer: Any) -> str | None:
    wanted: float = arguments["min_confidence"]
    if answer.confidence < wanted:
        return Doubt(f"the confidence is below the {wanted} asked for")
    return None


@item_task(
    "tierqueue.classify",
    output=_output,
    answer_model=Classification,
    checks=[_sure],
    output_limit=64,
)
def classify(
    text: Text,
    labels: Labels,
    instructions: str = "",
    min_confidence: Share = 0.0,
    **_demands: Unpack[Demands],
) -> Prompt:
    """Give ``text`` one of ``labels``; the answer is ``{"label": …, "confidence": 0…1}``."""
    rules = f"{instructions}\n\n" if instructions else ""
    return Prompt(
        system="You sort texts. Answer with the label that fits best and how sure you are of it.",
        prefix=f"{rules}Labels:\n" + "\n".join(f"- {label}" for label in labels) + "\n",
        question=f"Text:\n{text}",
    )
