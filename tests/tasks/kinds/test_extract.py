"""``extract`` asks for exactly the fields it was given, whatever they are called."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tierqueue.router.errors import InvalidItem
from tierqueue.router.outcome import Accepted, Completed, Rejected, Usage
from tierqueue.tasks import extract
from tierqueue.tasks.submission.validation import validate

NAMES = [
    *("_id", "__init__", "model_config", "model_fields", "copy", "json", "schema", "class"),
    *("a b", "Größe", "$ref", "$defs", "x/y~z", 'a"b', "field_0", "1", "-", "validate", "total"),
]


def asked(fields: dict[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = extract.new_item(
        (), {"text": "a text", "fields": fields}, item_id="i"
    ).arguments  # type: ignore[assignment]
    return arguments


def judged(arguments: dict[str, Any], answer: Any) -> Accepted | Rejected:
    done = Completed(text=json.dumps(answer), usage=Usage(), model_served="m", finish="stop")
    return validate(extract, arguments, done)


@pytest.mark.parametrize("name", NAMES)
def test_a_field_is_asked_for_and_comes_back_under_its_own_name(name: str) -> None:
    arguments = asked({name: "string", "amount": "number"})
    model = extract.output_model(arguments)
    assert model is not None
    schema = model.model_json_schema()
    assert list(schema["properties"]) == schema["required"] == [name, "amount"]
    accepted = judged(arguments, {name: "x", "amount": 1.5})
    assert isinstance(accepted, Accepted)
    assert accepted.output == {name: "x", "amount": 1.5}


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_without_an_asked_field_is_never_accepted(name: str) -> None:
    arguments = asked({name: "string", "amount": "number"})
    assert isinstance(judged(arguments, {"amount": 1.5}), Rejected)
    assert isinstance(judged(arguments, {name: "x", "amount": 1.5, "more": 1}), Rejected)


def test_all_of_them_at_once() -> None:
    arguments = asked(dict.fromkeys(NAMES, "string"))
    answer = dict.fromkeys(NAMES, "x")
    accepted = judged(arguments, answer)
    assert isinstance(accepted, Accepted)
    assert accepted.output == answer


@pytest.mark.parametrize(
    "name", ["", " ", " total", "total\n", "a\nb", "\x1b[2J", "a\u202eb", "x" * 201, "\ud83d"]
)
def test_a_name_that_no_text_can_carry_is_refused_at_the_call(name: str) -> None:
    with pytest.raises(InvalidItem):
        asked({name: "string"})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_is_a_number(number: str) -> None:
    model = extract.output_model(asked({"total": "number"}))
    assert model is not None
    with pytest.raises(ValidationError):
        model.model_validate_json(f'{{"total": {number}}}')
