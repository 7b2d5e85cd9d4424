"""A task type of a team's own whose answer the engine's grammar cannot hold."""

from typing import Annotated

from pydantic import BaseModel, Field

from tierqueue.tasks import Prompt, item_task


class Word(BaseModel):
    """In letters, whatever their script."""

    word: Annotated[str, Field(pattern=r"^\p{L}+$", max_length=40)]


@item_task("tests.word", output=Word)
def word(text: str) -> Prompt:
    """The word that a text is about."""
    return Prompt(system="", prefix="", question=text)
