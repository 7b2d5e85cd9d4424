"""The forms of a schema that providers take, held against their own SDKs' rules."""

import copy
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Annotated, Any, Literal

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib import _pydantic as openai_strict
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter, create_model

from sandbox.answering.schema_rules import check
from tests.drawing import examples
from tests.sandbox.answering.test_sandbox_answers import KINDS
from tierqueue.tasks.answers.schema import ANTHROPIC, OPENAI, Inexpressible, grammatical, strict
from tierqueue.tasks.kinds.classify import output_of as classification
from tierqueue.tasks.kinds.extract import output_of as extraction
from tierqueue.tasks.kinds.summarize import Summary


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Address(BaseModel):
    """Where somebody lives."""

    street: str = Field(description="with the number")
    city: str = "Berlin"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str] = Field(default_factory=list, max_length=5)


class Order(BaseModel):
    """A model as a team writes it: nothing forbidden, defaults, every kind of field."""

    note: str = ""
    count: Annotated[int, Field(gt=0, lt=100, multiple_of=2, json_schema_extra={"x-ours": 1})] = 2
    price: decimal.Decimal | None = None
    share: float | None = Field(default=None, ge=0, le=1)
    code: Annotated[str, Field(pattern=r"^[A-Z]{3}$", min_length=3, max_length=3)]
    on: dt.date
    at: dt.datetime | None
    id: uuid.UUID
    colour: Colour
    size: Size = Size.SMALL
    mixed: Literal["a", 1, True] | None
    home: Address
    other: Address | None = Field(default=None, description="a second one")
    pets: Annotated[list[Annotated[Cat | Dog, Field(discriminator="kind")]], Field(min_length=1)]
    tags: set[str] = Field(default_factory=set, examples=[["new"]])
    known: Literal[True]


class Person(BaseModel):
    name: str
    children: list["Person"] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


class Answers(RootModel[Address]):
    pass


BUILT_IN: dict[str, type[BaseModel]] = {
    "classify": classification({"labels": ["a", 'b"c', "d\ne"]}),
    "extract": extraction({"fields": {"_id": "string", "total": "number", "n": "integer"}}),
    "summarize": Summary,
}
EXPRESSIBLE: dict[str, type[BaseModel]] = {
    **BUILT_IN,
    "order": Order,
    "open": Open,
    "root": Answers,
    "cat": Cat,
}
TAKEN = {"type", "enum", "anyOf", "properties", "required", "additionalProperties", "items"} | {
    "$ref",
    "$defs",
    "description",
}


def nodes(schema: Any) -> list[dict[str, Any]]:
    """Every schema within a schema."""
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    inner += [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return [schema, *(found for part in inner for found in nodes(part))]


@pytest.mark.parametrize("bounds", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@pytest.mark.parametrize("model", EXPRESSIBLE.values(), ids=EXPRESSIBLE.keys())
def test_every_object_is_closed_and_asks_for_all_its_fields(model: Any, bounds: Any) -> None:
    found = strict(model.model_json_schema(), bounds)
    for node in nodes(found):
        assert node.keys() <= TAKEN
        assert ("$ref" in node) is ("type" not in node and "anyOf" not in node)
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
    assert found["type"] == "object"


@pytest.mark.parametrize("model", EXPRESSIBLE.values(), ids=EXPRESSIBLE.keys())
def test_the_vendors_own_transforms_find_nothing_to_change(model: Any) -> None:
    found = strict(model.model_json_schema(), ANTHROPIC)
    theirs = anthropic.transform_schema(copy.deepcopy(found))
    # Anthropic's leaves out the type beside an enum, and says no more by it.
    for node in nodes(found):
        if "enum" in node:
            node.pop("type", None)
    assert theirs == found
    again = strict(model.model_json_schema(), OPENAI)
    before = copy.deepcopy(again)
    assert openai_strict._ensure_strict_json_schema(again, path=(), root=again) == before


def test_what_cannot_be_enforced_is_told_in_the_description() -> None:
    fields = strict(Order.model_json_schema(), OPENAI)["properties"]
    assert fields["code"]["description"] == "{minLength: 3, maxLength: 3, pattern: ^[A-Z]{3}$}"
    assert fields["on"] == {"type": "string", "description": "{format: date}"}
    assert fields["note"] == {"type": "string", "description": "{default: }"}
    assert fields["other"]["description"] == "a second one\n\n{default: null}"
    assert fields["known"] == {"type": "boolean", "enum": [True]}


def test_a_choice_between_types_names_each_type() -> None:
    mixed = strict(Order.model_json_schema(), OPENAI)["properties"]["mixed"]
    assert [(part["type"], part.get("enum")) for part in mixed["anyOf"]] == [
        ("string", ["a"]),
        ("integer", [1]),
        ("boolean", [True]),
        ("null", None),
    ]


@pytest.mark.parametrize(
    ("field", "what"),
    [
        (dict[str, float], "free keys"),
        (dict[str, Any], "free keys"),
        (Any, "any value"),
        (list[Any], "any value"),
        (list, "any value"),
        (tuple[int, str], "unlike"),
        (Person, "within itself"),
    ],
)
def test_what_no_strict_mode_can_say_is_inexpressible(field: Any, what: str) -> None:
    model = create_model("Held", inner=(field, ...))
    with pytest.raises(Inexpressible, match=what):
        strict(model.model_json_schema(), OPENAI)


@pytest.mark.parametrize("kind", [list[int], Literal["a"], str, Cat | Dog])
def test_an_answer_that_is_no_object_is_inexpressible(kind: Any) -> None:
    with pytest.raises(Inexpressible, match="no object"):
        strict(TypeAdapter(kind).json_schema(), OPENAI)


def test_more_than_a_vendor_takes_is_inexpressible() -> None:
    many = extraction({"fields": {f"field_{at}": "string" for at in range(17)}})
    assert strict(many.model_json_schema(), OPENAI)
    with pytest.raises(Inexpressible, match="17 choices between types"):
        strict(many.model_json_schema(), ANTHROPIC)
    spaced = extraction({"fields": {"field 1": "string"}})
    with pytest.raises(Inexpressible, match="name"):
        strict(spaced.model_json_schema(), ANTHROPIC)
    labels = classification({"labels": [f"{at:03} {'x' * 30}" for at in range(500)]})
    with pytest.raises(Inexpressible, match="characters"):
        strict(labels.model_json_schema(), OPENAI)
    deep: Any = str
    for at in range(11):
        deep = create_model(f"Level{at}", inner=(deep, ...))
    with pytest.raises(Inexpressible, match="levels"):
        strict(deep.model_json_schema(), OPENAI)


def test_a_grammar_is_asked_for_nothing_that_it_refuses() -> None:
    class Held(BaseModel):
        even: int = Field(multiple_of=2)
        tags: set[str]
        day: Annotated[str, Field(pattern="^a+$", max_length=3)]
        ahead: Annotated[str, Field(json_schema_extra={"pattern": r"^(?=a)a+$"})]
        key: Annotated[str, Field(json_schema_extra={"format": "iban"})]
        kept: Annotated[int, Field(ge=1, le=5)]

    found = grammatical(Held.model_json_schema())["properties"]
    assert "multipleOf" not in found["even"]
    assert "uniqueItems" not in found["tags"]
    assert (found["day"]["pattern"], "maxLength" in found["day"]) == ("^a+$", False)
    assert "pattern" not in found["ahead"]
    assert "format" not in found["key"]
    assert (found["kept"]["minimum"], found["kept"]["maximum"]) == (1, 5)


@pytest.mark.processes  # importing vLLM starts some
@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")
def test_vllm_finds_no_feature_that_its_grammars_lack() -> None:
    from vllm.v1.structured_output.backend_xgrammar import has_xgrammar_unsupported_json_features

    models: list[type[BaseModel]] = [*EXPRESSIBLE.values(), Person]
    for model in models:
        assert not has_xgrammar_unsupported_json_features(grammatical(model.model_json_schema()))
    assert has_xgrammar_unsupported_json_features(Order.model_json_schema())


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(KINDS, min_size=1, max_size=5), st.booleans())
def test_a_strict_schema_of_any_model_is_one_that_the_sandbox_takes(
    kinds: list[Any], defaults: bool
) -> None:
    fields: Any = {
        f"field_{at}": (kind, None if defaults else ...) for at, kind in enumerate(kinds)
    }
    whole = create_model("Made", **fields).model_json_schema()
    for api, bounds in (("openai", OPENAI), ("anthropic", ANTHROPIC)):
        try:
            check(api, strict(whole, bounds))  # type: ignore[arg-type]
        except Inexpressible:
            continue


@given(st.dictionaries(st.text(min_size=1, max_size=9), st.sampled_from([str, int, float, bool])))
def test_any_fields_make_the_same_strict_schema_twice(fields: dict[str, Any]) -> None:
    stated: dict[str, Any] = {
        f"f{at}": (kind, Field(alias=name)) for at, (name, kind) in enumerate(fields.items())
    }
    model = create_model("Held", **stated)
    try:
        once = strict(model.model_json_schema(), OPENAI)
    except Inexpressible:
        return
    assert list(once["properties"]) == list(fields)
    assert json.dumps(strict(once, OPENAI)) == json.dumps(once)
