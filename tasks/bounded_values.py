"""Texts and numbers that come from outside, bounded where they enter."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

INT4 = 2**31 - 1
"""The largest number that both databases keep in a column of counts."""


def storable(text: str) -> str:
    """``text``, where both databases hold it; raises ``ValueError`` for half an emoji or a NUL."""
    text.encode()
    if "\0" in text:
        raise ValueError("a NUL cannot be stored")
    return text


Text = Annotated[str, AfterValidator(storable)]
Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(storable)]
"""A name or an id."""

Count = Annotated[int, Field(ge=0, le=INT4)]


class CallIds(BaseModel):
    """By which ids Celery knows a call."""

    model_config = ConfigDict(strict=True, extra="ignore")

    id: Name
    root_id: Name | None = None
    parent_id: Name | None = None
    group_id: Name | None = None
    group_index: Count | None = None
