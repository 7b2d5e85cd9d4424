"""What each vendor's structured output takes of JSON schema."""

from typing import Any

import pytest

from sandbox.answering.described import with_bounds
from sandbox.answering.schema_rules import check
from sandbox.wires.call import Api, Refused

both = pytest.mark.parametrize("api", ["openai", "anthropic"])


def closed(**fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


@both
def test_a_closed_object_of_required_fields_is_taken(api: Api) -> None:
    part = {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}
    inner = closed(kind={"enum": ["a", "b"]}, sums={"type": "array", "items": {"type": "number"}})
    schema = closed(when=part, inner={"$ref": "#/$defs/Inner"})
    check(api, {**schema, "$defs": {"Inner": inner}})


REFUSED: list[tuple[Any, str, set[Api]]] = [
    (closed(a={"type": "string", "minLength": 1}), "'minLength' is not permitted", {"openai"}),
    (closed(a={"type": "string", "maxLength": 9}), "'maxLength'", {"anthropic"}),
    (closed(a={"type": "number", "minimum": 0}), "'minimum'", {"anthropic"}),
    (closed(a={"type": "string", "default": ""}), "'default'", {"openai"}),
    (closed(a={"oneOf": [{"type": "null"}]}), "'oneOf'", {"openai", "anthropic"}),
    (closed(a={}), "must have a 'type' key", {"openai", "anthropic"}),
    (closed(a=True), "is not an object", {"openai", "anthropic"}),
    (closed(a={"type": "array"}), "array schema missing items", {"openai", "anthropic"}),
    (closed(a={"type": "string", "format": "uri"}), "format 'uri'", {"openai"}),
    ({**closed(a={"type": "null"}), "required": []}, "every key in properties", {"openai"}),
    (closed(a={"type": "object"}), "'additionalProperties'", {"openai", "anthropic"}),
    ({"type": "array", "items": {"type": "null"}}, 'type: "object"', {"openai"}),
    (closed(a={"$ref": "#/$defs/B"}), "is not a definition", {"openai", "anthropic"}),
]


@pytest.mark.parametrize(
    ("api", "schema", "said"),
    [(api, schema, said) for schema, said, vendors in REFUSED for api in sorted(vendors)],
)
def test_what_a_vendor_does_not_take_is_a_400_that_says_what_and_where(
    api: Api, schema: Any, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        check(api, schema)
    assert refused.value.status == 400
    assert said in refused.value.message


def test_each_vendor_has_a_most_of_its_own() -> None:
    union = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    for many, fits in ((16, True), (17, False)):
        schema = closed(**{f"f{at}": union for at in range(many)})
        check("openai", schema)
        if fits:
            check("anthropic", schema)
        else:
            with pytest.raises(Refused, match="too complex"):
                check("anthropic", schema)
    optional = {**closed(**{f"f{at}": {"type": "string"} for at in range(25)}), "required": []}
    with pytest.raises(Refused, match="too complex"):
        check("anthropic", optional)
    labels = [f"{at:03}{'x' * 60}" for at in range(251)]
    with pytest.raises(Refused, match="too long together"):
        check("openai", closed(label={"type": "string", "enum": labels}))
    with pytest.raises(Refused, match="twice"):
        check("openai", closed(label={"type": "string", "enum": ["a", "a"]}))
    with pytest.raises(Refused, match="should match pattern"):
        check("anthropic", closed(**{"a b": {"type": "string"}}))
    with pytest.raises(Refused, match="minItems"):
        check("anthropic", closed(a={"type": "array", "items": union, "minItems": 2}))


def test_a_schema_within_itself_is_taken_by_openai_alone() -> None:
    node = closed(below={"type": "array", "items": {"$ref": "#/$defs/Node"}})
    schema = {**closed(top={"$ref": "#/$defs/Node"}), "$defs": {"Node": node}}
    check("openai", schema)
    with pytest.raises(Refused, match="recursive"):
        check("anthropic", schema)


def test_bounds_told_in_a_description_are_read_and_a_schemas_own_win() -> None:
    told = with_bounds({"type": "number", "description": "How sure\n\n{minimum: 0, maximum: 1}"})
    assert (told["minimum"], told["maximum"]) == (0, 1)
    own = with_bounds({"type": "number", "minimum": 5, "description": "{minimum: 0, pattern: x}"})
    assert own["minimum"] == 5
    assert "pattern" not in own
    assert with_bounds({"type": "string", "description": "{format: date}"})["format"] == "date"
