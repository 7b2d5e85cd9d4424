"""``extract``: fill in these fields from the document."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Unpack

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.demands import Demands
from tierqueue.tasks.submission.prompt import Prompt


def _a_name(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("a field's name is one line of visible text, without blanks around it")
    return name


FieldName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_a_name)]
FieldType = Literal["string", "number", "integer", "boolean"]
_TYPES: dict[str, Any] = {
    "string": Annotated[str, Field(max_length=2000)],
    "number": Annotated[float, Field(allow_inf_nan=False)],
    "integer": int,
    "boolean": bool,
}


@lru_cache(maxsize=256)
def _model(fields: str) -> type[BaseModel]:
    # A name may be anything, pydantic's own words and "_id" among them, so each is an alias.
    wanted: dict[str, Any] = {
        f"field_{at}": (_TYPES[kind] | None, Field(alias=name))
        for at, (name, kind) in enumerate(json.loads(fields).items())
    }
    config = ConfigDict(extra="forbid", serialize_by_alias=True)
    return create_model("Extraction", __config__=config, **wanted)


def output_of(arguments: Mapping[str, Any]) -> type[BaseModel]:
    return _model(json.dumps(arguments["fields"]))


@item_task("tierqueue.extract", output=output_of, output_limit=512)
def extract(
    text: Annotated[str, Field(min_length=1)],
    fields: Annotated[dict[FieldName, FieldType], Field(min_length=1, max_length=100)],
    instructions: str = "",
    **_demands: Unpack[Demands],
) -> Prompt:
    """Fill ``fields`` (name -> string, number, integer or boolean) from ``text``.

    The answer has exactly these fields, whatever they are called, each ``null`` where the text
    does not say.
    """
    rules = f"{instructions}\n\n" if instructions else ""
    asked = "\n".join(f"- {name} ({kind})" for name, kind in fields.items())
    return Prompt(
        system="You extract facts. Use only what the document says; null where it does not say.",
        prefix=f"{rules}Fields:\n{asked}\n",
        question=f"Document:\n{text}",
    )
