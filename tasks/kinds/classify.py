"""``classify``: which of these labels fits the text?"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, Unpack

from pydantic import BaseModel, ConfigDict, Field, create_model

from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.demands import Demands
from tierqueue.tasks.submission.prompt import Prompt

Text = Annotated[str, Field(min_length=1)]
Labels = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2, max_length=500)]
Share = Annotated[float, Field(ge=0, le=1)]


class Classification(BaseModel):
    """The output of ``classify``: one of the labels, and how sure the model is of it, 0 to 1.

    ``confidence`` is the margin between the probabilities of the chosen label and the next best;
    ``None`` where the deployment gives none.
    """

    label: str
    confidence: float | None = None


@lru_cache(maxsize=256)
def _model(labels: tuple[str, ...]) -> type[BaseModel]:
    # The label alone: a number that a model writes of itself is many tokens, and no measure.
    fields: dict[str, Any] = {"label": (Literal[labels], ...)}
    return create_model("Classification", __config__=ConfigDict(extra="forbid"), **fields)


def output_of(arguments: Mapping[str, Any]) -> type[BaseModel]:
    return _model(tuple(arguments["labels"]))


def choice_of(labels: Sequence[str], instructions: str) -> str:
    """What items of one set of labels share: their instructions, and the labels to choose from."""
    rules = f"{instructions}\n\n" if instructions else ""
    return f"{rules}Labels:\n" + "\n".join(f"- {label}" for label in labels) + "\n"


@item_task(
    "tierqueue.classify",
    output=output_of,
    answer_model=Classification,
    output_limit=64,
    prompt_version="2",
)
def classify(
    text: Text,
    labels: Labels,
    instructions: str = "",
    min_confidence: Share = 0.0,
    **_demands: Unpack[Demands],
) -> Prompt:
    """Give ``text`` one of ``labels``; the answer is ``{"label": …, "confidence": 0…1}``.

    Below ``min_confidence`` the next tier is asked.
    """
    return Prompt(
        system='Answer with the label that fits the text best, as {"label":"..."}.',
        prefix=choice_of(labels, instructions),
        question=f"Text:\n{text}",
    )
