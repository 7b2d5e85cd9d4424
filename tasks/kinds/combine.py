"""``combine``: one answer from the answers of several parts of a document."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Unpack

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tierqueue.tasks.kinds.ask import SYSTEM, Answered, Quotation, complaint
from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.demands import Demands
from tierqueue.tasks.submission.prompt import Prompt


class Unsaid(BaseModel):
    """What is left to answer where no part says anything of it: that the document does not.

    Whatever a model adds all the same has nothing to rest on, and is left out.
    """

    model_config = ConfigDict(extra="forbid")

    answer: None
    quotations: Annotated[list[Quotation], Field(max_length=0)]

    @model_validator(mode="before")
    @classmethod
    def _is_left_out(cls, said: Any) -> Any:
        return {"answer": None, "quotations": []} if isinstance(said, dict) else said


def _output(arguments: Mapping[str, Any]) -> type[BaseModel]:
    found = any(finding["answer"] is not None for finding in arguments["findings"])
    return Answered if found else Unsaid


def _rests_on_its_findings(arguments: Mapping[str, Any], answer: Any) -> str | None:
    quoted = [said for finding in arguments["findings"] for said in finding["quotations"]]
    return complaint(answer, quoted)


@item_task(
    "tierqueue.combine",
    output=_output,
    answer_model=Answered,
    checks=[_rests_on_its_findings],
    output_limit=768,
)
def combine(
    findings: Annotated[list[Answered], Field(min_length=1)],
    question: Annotated[str, Field(min_length=1)],
    **_demands: Unpack[Demands],
) -> Prompt:
    """Answer ``question`` from what ``ask`` answered about the parts of one document.

    It may quote what they quoted and nothing else, so that its quotations stand in the document
    too. Where none of them found anything, the answer is that the document does not say.
    """
    told = "\n".join(line for finding in findings for line in _lines(finding))
    return Prompt(
        system=SYSTEM,
        prefix="",
        question=(
            "Each finding is from another part of one document; quote of the lines that begin with"
            f' ">" alone.\n\n{told or "No part of the document says anything of it."}\n\n'
            f"Question: {question}"
        ),
    )


def _lines(finding: Any) -> Iterator[str]:
    if finding["answer"] is not None:
        yield f"Finding: {' '.join(finding['answer'].split())}"
        yield from (f"> {' '.join(said.split())}" for said in finding["quotations"])
