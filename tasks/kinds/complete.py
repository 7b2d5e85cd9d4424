"""``complete``: any prompt, free text back."""

from typing import Annotated, Unpack

from pydantic import Field

from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.demands import Demands
from tierqueue.tasks.submission.prompt import Prompt


@item_task("tierqueue.complete", output=None, output_limit=1024)
def complete(
    prompt: Annotated[str, Field(min_length=1)],
    system: str = "",
    max_output_tokens: Annotated[int, Field(ge=1, le=200_000)] = 1024,
    **_demands: Unpack[Demands],
) -> Prompt:
    """Answer ``prompt``; the output is ``{"text": …}`` of at most ``max_output_tokens``."""
    return Prompt(system=system, prefix="", question=prompt)
