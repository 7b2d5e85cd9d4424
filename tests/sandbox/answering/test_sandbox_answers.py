"""Answers are a function of model, prompt and schema, and validate against the schema.

Pydantic is the judge: it writes the schema and reads the answer back, and knows nothing of us.
"""

import json
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from sandbox.answering.answers import answer, broken
from sandbox.wires.call import Call, Refused
from tests.drawing import examples

TEXTS = st.text(max_size=80) | st.sampled_from(["refund 12.50 on 2024-02-03 to a@b.com", "7 of 9"])


class Node(BaseModel):
    name: str
    children: list["Node"]
    next: "Node | None"


def call(prompt: str, schema: dict[str, Any] | None = None, model: str = "open-small") -> Call:
    return Call("openai", model, (prompt,), prompt, schema, wants_json=False, max_output=4096)


def bounded(kind: Any) -> Any:
    low = st.integers(-1000, 1000)
    return st.tuples(low, st.integers(0, 300)).map(
        lambda two: Annotated[kind, Field(ge=two[0], le=two[0] + two[1])]
    )


def lists(of: Any) -> Any:
    return st.tuples(of, st.integers(0, 3), st.integers(0, 3)).map(
        lambda three: Annotated[
            list[three[0]],  # type: ignore[valid-type]
            Field(min_length=three[1], max_length=three[1] + three[2]),
        ]
    )


LEAVES = (
    st.sampled_from([str, bool, int, float, date, datetime, UUID, Node, dict[str, int]])
    | st.just(Literal["refund", "lost_card", "card_arrival"])
    | bounded(int)
    | bounded(float)
    | st.tuples(st.integers(0, 30), st.integers(0, 30)).map(
        lambda two: Annotated[str, Field(min_length=two[0], max_length=two[0] + two[1])]
    )
)
KINDS = st.recursive(
    LEAVES, lambda inner: lists(inner) | inner.map(lambda kind: kind | None), max_leaves=4
)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(KINDS, min_size=1, max_size=4), TEXTS, st.booleans())
def test_an_answer_validates_against_the_schema(
    kinds: list[Any], prompt: str, forbid: bool
) -> None:
    fields: Any = {f"field_{at}": (kind, ...) for at, kind in enumerate(kinds)}
    config = ConfigDict(extra="forbid") if forbid else ConfigDict()
    made = create_model("Made", __config__=config, **fields)
    text = answer(call(prompt, made.model_json_schema()))
    assert made.model_validate_json(text)
    assert text == answer(call(prompt, made.model_json_schema()))


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(KINDS, min_size=1, max_size=4), TEXTS)
def test_a_broken_answer_is_json_and_does_not_validate(kinds: list[Any], prompt: str) -> None:
    fields: Any = {f"field_{at}": (kind, ...) for at, kind in enumerate(kinds)}
    made = create_model("Made", **fields)
    text = broken(call(prompt, made.model_json_schema()))
    json.loads(text)
    with pytest.raises(ValueError, match="Made"):
        made.model_validate_json(text)


def test_the_model_the_prompt_and_the_schema_each_change_the_answer() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    wide = {"type": "object", "properties": {"n": {"type": "integer", "minimum": -(10**9)}}}
    first = answer(call("hello", schema))
    assert any(answer(call("hello", schema, f"open-small-{n}")) != first for n in range(5))
    assert any(answer(call(f"hello {'x' * n}", schema)) != first for n in range(1, 6))
    assert answer(call("hello", wide)) != first


def test_the_label_that_shares_most_words_with_the_prompt_is_chosen() -> None:
    schema = TypeAdapter(Literal["card_arrival", "lost_card", "top_up_failed"]).json_schema()
    assert json.loads(answer(call("my top up has failed", schema))) == "top_up_failed"


def test_a_prompt_that_lists_every_label_is_decided_by_the_rest_of_it() -> None:
    labels = ["card_arrival", "lost_card", "top_up_failed"]
    prompt = f"Choose one of {', '.join(labels)}.\nMy card is lost."
    assert json.loads(answer(call(prompt, {"enum": labels}))) == "lost_card"


def test_set_items_differ() -> None:
    schema = TypeAdapter(set[Literal["a", "b", "c", "d"]]).json_schema() | {"minItems": 4}
    assert set(json.loads(answer(call("b", schema)))) == {"a", "b", "c", "d"}


def test_a_confidence_is_high_and_never_read_from_the_prompt() -> None:
    schema = {"properties": {"confidence": {"type": "number", "minimum": 0, "maximum": 1}}}
    for n in range(20):
        found = json.loads(answer(call(f"I have 0 or 0.1 of {n}", schema)))["confidence"]
        assert 0.7 <= found <= 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^a+$"},
        {"type": "string", "format": "ipv6"},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "array", "items": {"enum": [1]}, "minItems": 2, "uniqueItems": True},
        {"$ref": "#/$defs/absent"},
        {"$ref": "#"},
        {"type": "tuple"},
        {"enum": []},
        {"enum": 3},
        {"type": "object", "properties": ["a"]},
        {"type": "array", "minItems": "3"},
        {"type": "string", "pattern": "a", "anyOf": [True]},
    ],
)
def test_a_schema_that_cannot_be_satisfied_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        answer(call("hello", schema))
