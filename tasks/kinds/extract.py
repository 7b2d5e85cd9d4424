"""``extract``: fill in these fields from the document."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from tierqueue.tasks.declare import item_task
from tierqueue.tasks.prompt import Prompt

FieldType = Literal["string", "number", "integer", "boolean"]
_TYPES: dict[str, Any] = {
    "string": Annotated[str, Field(max_length=2000)],
    "number": float,
    "integer": int,
    "boolean": bool,
}


@lru_cache(maxsize=256)
def _model(fields: str) -> type[BaseModel]:
    wanted: dict[str, Any] = {
        name: (_TYPES[kind] | None, ...) for name, kind in json.loads(fields).items()
    }
    return create_model("Extraction", __config__=ConfigDict(extra="forbid"), **wanted)


def _output(arguments: Mapping[str, Any]) -> type[BaseModel]:
    return _model(json.dumps(arguments["fields"]))


@item_task("tierqueue.extract", output=_output, output_limit=512)
def extract(
    text: Annotated[str, Field(min_length=1)],
    fields: Annotated[dict[str, FieldType], Field(min_length=1, max_length=100)],
    instructions: str = "",
) -> Prompt:
    """Fill ``fields`` (name -> string, number, integer or boolean) from ``text``.

    The answer has exactly these fields, each ``null`` where the text does not say.
    """
    rules = f"{instructions}\n\n" if instructions else ""
    asked = "\n".join(f"- {name} ({kind})" for name, kind in fields.items())
    return Prompt(
        system="You extract facts. Use only what the document says; null where it does not say.",
        prefix=f"{rules}Fields:\n{asked}\n",
        question=f"Document:\n{text}",
    )
