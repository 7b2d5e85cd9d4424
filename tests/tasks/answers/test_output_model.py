"""Output models of every kind: refused where they are declared, or answered, stored and read."""

import json
import re
from collections.abc import Callable
from datetime import date
from itertools import count
from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    HttpUrl,
    ImportString,
    Json,
    Secret,
    SecretBytes,
    SecretStr,
    Tag,
    computed_field,
    create_model,
)
from pydantic.dataclasses import dataclass

from tierqueue.router.errors import InvalidItem
from tierqueue.router.outcome import Accepted, Completed, Usage
from tierqueue.tasks import Prompt, item_task
from tierqueue.tasks.results.async_answer import Answer


def holding(kind: Any, stated: Any = ..., **config: Any) -> type[BaseModel]:
    """A model with one field, ``x``."""
    fields: Any = {"x": (kind, stated)}
    made: type[BaseModel] = create_model("Held", __config__=cast(ConfigDict, config), **fields)
    return made


_numbers = count()


def task_of(model: Any) -> Any:
    @item_task(f"team.held{next(_numbers)}", output=model)
    def made(text: str) -> Prompt:
        return Prompt(system="", prefix="", question=text)

    return made


@dataclass
class Point:
    secret: SecretStr


class Nested(BaseModel):
    inner: list[Point]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


def kind_of(value: Any) -> str:
    return str(value.get("kind") if isinstance(value, dict) else value.kind)


class Sum(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int
    b: int = Field(alias="B")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> int:
        return self.a + self.b


class Sums(BaseModel):
    model_config = ConfigDict(extra="forbid")
    parts: list[Sum]


class Crossed(BaseModel):
    a: int = Field(alias="b")
    b: int = Field(alias="c")


class ByAlias(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    amount: int = Field(default=0, alias="Amount")


REFUSED: dict[str, tuple[Any, str]] = {
    "a secret": (holding(SecretStr), "Held.x is a secret"),
    "secret bytes": (holding(SecretBytes | None, None), "Held.x is a secret"),
    "a secret number": (holding(list[Secret[int]]), "Held.x is a secret"),
    "a secret further in": (Nested, "Nested.secret is a secret"),
    "a path": (holding(int, Field(validation_alias=AliasPath("a", 0))), "an AliasPath"),
    "a short path": (holding(int, Field(validation_alias=AliasPath("a"))), "an AliasPath"),
    "a choice of paths": (
        holding(int, Field(validation_alias=AliasChoices(AliasPath("a", "b"), AliasPath("c", 0)))),
        "an AliasPath",
    ),
    "Json": (holding(Json[list[int]]), "declare the type inside"),
    "any Json": (holding(Json), "declare the type inside"),
    "an import": (holding(ImportString), "must not choose what is imported"),
    "a class": (holding(type[int]), "is a class"),
    "left out": (holding(int, Field(exclude=True)), "left out of the output"),
    "bytes in two forms": (holding(bytes, ser_json_bytes="base64"), "as it does not read them"),
    "a function": (holding(Callable[[], int]), "no JSON schema"),
    "an arbitrary type": (holding(re.Match, arbitrary_types_allowed=True), "no JSON schema"),
}

ANSWERED: dict[str, tuple[Any, Any]] = {
    "an alias": (holding(int, Field(alias="X")), {"X": 1}),
    "an alias of validation": (holding(int, Field(validation_alias="X")), {"X": 1}),
    "an alias of serialization": (holding(int, Field(serialization_alias="X")), {"x": 1}),
    "aliases that are others' names": (Crossed, {"b": 1, "c": 2}),
    "aliases in the output": (ByAlias, {"Amount": 5}),
    "a choice of aliases": (holding(int, Field(validation_alias=AliasChoices("X", "Y"))), {"X": 1}),
    "a choice with a path": (
        holding(int, Field(validation_alias=AliasChoices(AliasPath("a", "b"), "c"))),
        {"c": 1},
    ),
    "a path and its name": (
        holding(int, Field(validation_alias=AliasPath("a", 0)), validate_by_name=True),
        {"x": 1},
    ),
    "computed fields": (Sum, {"a": 1, "B": 2}),
    "computed fields further in": (Sums, {"parts": [{"a": 1, "B": 2}]}),
    "left out with a default": (holding(int | None, Field(default=None, exclude=True)), {}),
    "bytes": (holding(bytes), {"x": "größe"}),
    "bytes in base64": (
        holding(bytes, ser_json_bytes="base64", val_json_bytes="base64"),
        {"x": "YQ=="},
    ),
    "base64": (holding(Base64Bytes), {"x": "YQ=="}),
    "a discriminator": (
        holding(Cat | Dog, Field(discriminator="kind")),
        {"x": {"kind": "cat", "lives": 9}},
    ),
    "a callable discriminator": (
        holding(
            Annotated[
                Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)
            ]
        ),
        {"x": {"kind": "dog", "tricks": ["sit"]}},
    ),
    "strict types": (holding(tuple[date, int], strict=True), {"x": ["2026-03-01", 1]}),
    "an address": (holding(HttpUrl), {"x": "https://host.example/a"}),
    "what it does not know": (holding(int, extra="allow"), {"x": 1, "y": [2]}),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_what_no_answer_can_be_is_refused_where_it_is_declared(what: str) -> None:
    model, why = REFUSED[what]
    with pytest.raises(InvalidItem, match="team") as refused:
        task_of(model)
    assert why in refused.value.message


@pytest.mark.parametrize("what", list(ANSWERED))
def test_what_is_declared_is_answered_and_read_again(what: str) -> None:
    model, said = ANSWERED[what]
    done = Completed(text=json.dumps(said), usage=Usage(), model_served="m")
    accepted = task_of(model).validate(done.text, text="x")
    assert isinstance(accepted, Accepted), accepted
    stored = json.loads(json.dumps(accepted.output))
    read = Answer({"output": stored, "receipt": {}}, model).output
    assert read == model.model_validate_json(json.dumps(said))
    names = set(model.model_json_schema().get("properties", {}))
    assert set(said) - {"y"} <= names


def test_a_computed_field_stands_in_the_plain_output() -> None:
    accepted = task_of(Sums).validate('{"parts": [{"a": 1, "B": 2}]}', text="x")
    assert accepted.output == {"parts": [{"a": 1, "b": 2, "total": 3}]}


def test_the_model_that_a_function_of_the_arguments_gives_is_held_to_the_same() -> None:
    bad = holding(SecretStr)
    with pytest.raises(InvalidItem, match=r"Held\.x is a secret"):

        @item_task("team.held_answer", output=lambda _: Sum, answer_model=bad)
        def made(text: str) -> Prompt:
            return Prompt(system="", prefix="", question=text)
