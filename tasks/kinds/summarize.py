"""``summarize``: the text in fewer words."""

from collections.abc import Mapping
from typing import Annotated, Any, Unpack

from pydantic import BaseModel, ConfigDict, Field

from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.demands import Demands
from tierqueue.tasks.submission.prompt import Prompt


class Summary(BaseModel):
    """The answer of ``summarize``."""

    model_config = ConfigDict(extra="forbid")

    summary: Annotated[str, Field(min_length=1, max_length=20_000)]


def _short(arguments: Mapping[str, Any], answer: Any) -> str | None:
    words, wanted = len(answer.summary.split()), int(arguments["max_words"])
    return f"the summary has {words} words, {wanted} were allowed" if words > wanted else None


@item_task("tierqueue.summarize", output=Summary, checks=[_short], output_limit=512)
def summarize(
    text: Annotated[str, Field(min_length=1)],
    max_words: Annotated[int, Field(ge=5, le=2000)] = 100,
    question: str = "",
    **_demands: Unpack[Demands],
) -> Prompt:
    """Summarize ``text`` in at most ``max_words`` words, for ``question`` where there is one."""
    asked = f"Answer this question: {question}" if question else "Say what matters most."
    return Prompt(
        system="You summarize faithfully and add nothing.",
        prefix=f"Document:\n{text}\n",
        question=f"{asked} Use at most {max_words} words.",
    )
