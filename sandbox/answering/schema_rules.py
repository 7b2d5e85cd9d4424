"""The part of JSON schema that each vendor's structured output takes; all else is a 400.

By their documents of 2026: OpenAI, "Structured model outputs", supported schemas, for
``strict: true``; Anthropic, "Structured outputs", JSON schema limitations. Where a document says
nothing the sandbox refuses, so that what passes here has been promised by somebody.
"""

import re
from typing import Any

from sandbox.wires.call import Api, Json, Refused

_ANNOTATIONS = {"title", "description", "$defs"}
_SHAPES = {"type", "properties", "required", "additionalProperties", "items", "enum", "const"}
_JOINED = {"anyOf", "$ref"}
_TAKEN: dict[Api, set[str]] = {
    "openai": _ANNOTATIONS
    | _SHAPES
    | _JOINED
    | {"pattern", "format", "multipleOf", "minimum", "maximum"}
    | {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"},
    "anthropic": _ANNOTATIONS
    | _SHAPES
    | _JOINED
    | {"allOf", "format", "default", "pattern", "minItems"},
}
_BOTH_FORMATS = {
    *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"),
}
_FORMATS: dict[Api, set[str]] = {
    "openai": _BOTH_FORMATS,
    "anthropic": _BOTH_FORMATS | {"uri"},
}
_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
_DEEPEST = 10
_MOST_PROPERTIES = 5_000
_MOST_VALUES = 1_000
_LONG_ENUM = 250
_MOST_ENUM_CHARACTERS = 15_000
_MOST_CHARACTERS = 120_000
_MOST_UNIONS = 16
_MOST_OPTIONAL = 24
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def check(api: Api, schema: Any) -> None:
    """Return where ``api`` takes this schema; raise its 400 where it does not."""
    _Rules(api, schema).root()


class _Rules:
    def __init__(self, api: Api, schema: Any) -> None:
        self._api = api
        self._schema = schema
        self._definitions = schema.get("$defs", {}) if isinstance(schema, dict) else {}
        self._properties = 0
        self._values = 0
        self._characters = 0
        self._unions = 0
        self._optional = 0

    def root(self) -> None:
        if self._api == "openai" and (
            not isinstance(self._schema, dict) or self._schema.get("type") != "object"
        ):
            raise self._refused("schema must be of 'type: \"object\"'", ())
        self._part(self._schema, (), (), 0)
        for name, definition in self._definitions.items():
            self._part(definition, ("$defs", name), (name,), 0)
        if self._api == "openai" and (
            self._properties > _MOST_PROPERTIES
            or self._values > _MOST_VALUES
            or self._characters > _MOST_CHARACTERS
        ):
            raise self._refused("too many properties, enum values or characters", ())
        if self._api == "anthropic" and (
            self._unions > _MOST_UNIONS or self._optional > _MOST_OPTIONAL
        ):
            raise self._refused("Schema is too complex for compilation", ())

    def _part(self, part: Any, path: tuple[str, ...], inside: tuple[str, ...], depth: int) -> None:
        if not isinstance(part, dict):
            raise self._refused(f"{part!r} is not an object", path)
        if self._api == "openai" and depth > _DEEPEST:
            raise self._refused(f"nested deeper than {_DEEPEST} levels", path)
        for key in part:
            if key not in _TAKEN[self._api]:
                raise self._refused(f"'{key}' is not permitted", path)
        if "$ref" in part:
            self._reference(part, path, inside, depth)
            return
        for option in [*part.get("anyOf", ()), *part.get("allOf", ())]:
            self._part(option, (*path, "anyOf"), inside, depth)
        self._enum(part, path)
        self._unions += "anyOf" in part or isinstance(part.get("type"), list)
        if "format" in part and part["format"] not in _FORMATS[self._api]:
            raise self._refused(f"format {part['format']!r} is not supported", path)
        kinds = self._kinds(part, path)
        if "object" in kinds:
            self._object(part, path, inside, depth)
        if self._api == "anthropic" and part.get("minItems", 0) not in (0, 1):
            raise self._refused("minItems is 0 or 1", path)
        if "array" in kinds:
            if "items" not in part:
                raise self._refused("array schema missing items", path)
            self._part(part["items"], (*path, "items"), inside, depth + 1)

    def _enum(self, part: Json, path: tuple[str, ...]) -> None:
        values = part.get("enum", ())
        said = sum(len(value) for value in values if isinstance(value, str))
        self._values += len(values)
        self._characters += said
        if self._api == "openai":
            if len(values) > _LONG_ENUM and said > _MOST_ENUM_CHARACTERS:
                raise self._refused("the enum's values are too long together", path)
            if len({repr(value) for value in values}) < len(values):
                raise self._refused("enum has a value twice", path)

    def _kinds(self, part: Json, path: tuple[str, ...]) -> list[str]:
        kind = part.get("type")
        if kind is None and not part.keys() & {"anyOf", "allOf", "enum", "const"}:
            raise self._refused("schema must have a 'type' key", path)
        kinds = kind if isinstance(kind, list) else [kind] if kind is not None else []
        if not set(kinds) <= _TYPES:
            raise self._refused(f"{kind!r} is not a type", path)
        return kinds

    def _object(
        self, part: Json, path: tuple[str, ...], inside: tuple[str, ...], depth: int
    ) -> None:
        properties = part.get("properties", {})
        if part.get("additionalProperties") is not False:
            raise self._refused(
                "'additionalProperties' is required to be supplied and to be false", path
            )
        if self._api == "openai" and set(part.get("required", ())) != set(properties):
            raise self._refused(
                "'required' is required to be an array including every key in properties", path
            )
        if self._api == "anthropic" and not all(map(_NAME.fullmatch, properties)):
            raise self._refused("Property keys should match pattern " + _NAME.pattern, path)
        self._optional += len(set(properties) - set(part.get("required", ())))
        self._properties += len(properties)
        self._characters += sum(map(len, properties))
        for name, field in properties.items():
            self._part(field, (*path, "properties", name), inside, depth + 1)

    def _reference(
        self, part: Json, path: tuple[str, ...], inside: tuple[str, ...], depth: int
    ) -> None:
        if self._api == "openai" and part.keys() - {"$ref"}:
            raise self._refused("$ref cannot have keywords beside it", path)
        name = str(part["$ref"]).removeprefix("#/$defs/")
        if name not in self._definitions:
            raise self._refused(f"{part['$ref']!r} is not a definition of this schema", path)
        if name in inside:
            if self._api == "anthropic":
                raise self._refused("recursive schemas are not supported", path)
            return
        self._part(self._definitions[name], path, (*inside, name), depth)

    def _refused(self, why: str, path: tuple[str, ...]) -> Refused:
        where = ".".join(path) or "root"
        if self._api == "openai":
            return Refused(400, f"Invalid schema for response_format: In context={where}, {why}.")
        return Refused(400, f"output_config.format.schema: {where}: {why}")
