"""``ask``: a question to a document, answered with quotations that stand in it."""

from collections.abc import Mapping
from typing import Annotated, Any, Self, Unpack

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tierqueue.tasks.answers.quotations import place
from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.demands import Demands
from tierqueue.tasks.submission.prompt import Prompt

SYSTEM = (
    "You answer from what you are given alone. Quote word for word what the answer rests on, at"
    " least one sentence or part of one; answer null, without quotations, where it does not say."
)

Quotation = Annotated[str, Field(min_length=10, max_length=500)]
"""Ten characters at least: what is shorter stands anywhere."""


class Answered(BaseModel):
    """The answer of ``ask``, and what it rests on, word for word.

    ``None``: it does not say, and then there is nothing that this rests on.
    """

    model_config = ConfigDict(extra="forbid")

    answer: Annotated[str, Field(min_length=1, max_length=10_000)] | None
    quotations: Annotated[list[Quotation], Field(max_length=5)]

    @model_validator(mode="after")
    def _nothing_rests_on_nothing(self) -> Self:
        if self.answer is None:
            self.quotations = []
        return self


def complaint(answer: Answered, sources: list[str]) -> str | None:
    """Why an answer does not rest on these texts; ``None`` where each quotation is in one."""
    if answer.answer is not None and not answer.quotations:
        return "it rests on no quotation"
    for number, quotation in enumerate(answer.quotations, start=1):
        if not any(place(source, quotation) for source in sources):
            return f"quotation {number} does not stand in the source"
    return None


def _rests_on_its_source(arguments: Mapping[str, Any], answer: Any) -> str | None:
    return complaint(answer, [arguments["text"]])


@item_task("tierqueue.ask", output=Answered, checks=[_rests_on_its_source], output_limit=768)
def ask(
    text: Annotated[str, Field(min_length=1)],
    question: Annotated[str, Field(min_length=1)],
    **_demands: Unpack[Demands],
) -> Prompt:
    """Answer ``question`` from ``text`` alone; the answer is ``{"answer": …, "quotations": […]}``.

    An answer that quotes what does not stand in ``text`` is refused, as one without a quotation is.
    The text goes first, so that a prompt cache serves many questions to one document.
    """
    return Prompt(system=SYSTEM, prefix=f"Document:\n{text}\n", question=f"Question: {question}")
