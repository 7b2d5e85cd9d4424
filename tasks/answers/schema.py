"""The JSON schema of an answer in the forms that providers take.

Only part of JSON Schema can be enforced while a model writes, and vendors answer 400 to the rest.
What is left out here is checked when the answer is validated, wherever it came from.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

_NOTED = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "format"),
    *("minItems", "maxItems", "uniqueItems", "default", "examples"),
)
"""What the strict form tells the model in words."""

_GRAMMAR_FORMATS = frozenset(
    {"email", "date", "time", "date-time", "duration", "ipv4", "ipv6", "hostname", "uuid", "uri"}
    | {"uri-reference", "uri-template", "json-pointer", "relative-json-pointer"}
)
_NO_GRAMMAR = frozenset(
    {"multipleOf", "uniqueItems", "contains", "minContains", "maxContains"}
    | {"patternProperties", "propertyNames"}
)
_NO_GRAMMAR_PATTERN = re.compile(r"\(\?(?!:)|\\[1-9bBkK]")
"""Look-arounds, named groups, back-references and word boundaries."""


class Inexpressible(Exception):
    """The strict form has no way to say this; the message says what."""


@dataclass(frozen=True, slots=True)
class SchemaBounds:
    """What a vendor takes at the most, over a whole schema; ``unions``: choices between types."""

    depth: int
    properties: int
    enum_values: int
    enum_characters: int
    characters: int
    unions: int
    name: re.Pattern[str]


OPENAI = SchemaBounds(10, 5_000, 1_000, 15_000, 120_000, 5_000, re.compile(r"[^\x00-\x1f\x7f]+"))
"""https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas" (2026).
The characters of an enum count from its 251st value on; here they always do."""

ANTHROPIC = SchemaBounds(10, 500, 1_000, 15_000, 120_000, 16, re.compile(r"[a-zA-Z0-9_.-]{1,64}"))
"""https://platform.claude.com/docs/en/build-with-claude/structured-outputs, "Schema complexity
limits" (2026): 16 union types; the names are those that its tools take."""


def strict(schema: Schema, bounds: SchemaBounds) -> dict[str, Any]:
    """``schema`` in the subset that every vendor's strict mode takes: each field required, no
    others allowed, no bounds (they become a note in the description).

    Raises ``Inexpressible`` for what that subset cannot say (free keys, tuples, any value, a
    model within itself) or where ``bounds`` are exceeded.
    """
    definitions = schema.get("$defs", {})
    root = {key: value for key, value in schema.items() if key != "$defs"}
    if "$ref" in root:
        root = {**_named(root["$ref"], definitions)}
    if root.get("type") != "object":
        raise Inexpressible("an answer that is no object")
    _refuse_recursion(root, definitions)
    made = _strict(root, definitions)
    used = sorted(set(references(made)))
    kept: dict[str, Any] = {}
    while used:
        name = used.pop()
        if name not in kept:
            kept[name] = _strict(definitions[name], definitions)
            used += references(kept[name])
    if kept:
        made["$defs"] = dict(sorted(kept.items()))
    _refuse_excess(made, bounds)
    return made


def grammatical(schema: Any) -> Any:
    """``schema`` without what vLLM's grammars cannot hold a model to and therefore refuse."""
    if isinstance(schema, list):
        return [grammatical(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs") and isinstance(value, dict):
            kept[key] = {name: grammatical(part) for name, part in value.items()}
        elif key in ("enum", "const", "default", "examples"):
            kept[key] = value
        elif key not in _NO_GRAMMAR:
            kept[key] = grammatical(value)
    if len(kept.get("allOf", [])) > 1:
        del kept["allOf"]
    if kept.get("format") not in _GRAMMAR_FORMATS:
        kept.pop("format", None)
    if _NO_GRAMMAR_PATTERN.search(str(kept.get("pattern", ""))):
        del kept["pattern"]
    if "pattern" in kept or "format" in kept:
        kept.pop("minLength", None)
        kept.pop("maxLength", None)
    return kept


def _strict(node: Any, definitions: Schema) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise Inexpressible("any value at all")
    if "$ref" in node:
        _named(node["$ref"], definitions)
        return {"$ref": node["$ref"]}
    if "allOf" in node:
        if len(node["allOf"]) != 1:
            raise Inexpressible("several schemas at once (allOf)")
        rest = {key: value for key, value in node.items() if key != "allOf"}
        return _strict({**node["allOf"][0], **rest}, definitions)
    return _described(_typed(node, definitions), node)


def _typed(node: Schema, definitions: Schema) -> dict[str, Any]:
    if "const" in node or "enum" in node:
        return _enumerated(node.get("enum", [node.get("const")]))
    if "anyOf" in node or "oneOf" in node:
        variants = node.get("anyOf", node.get("oneOf"))
        return _any_of([_strict(variant, definitions) for variant in variants or []])
    kind = node.get("type")
    if isinstance(kind, list):
        return _any_of([_strict({**node, "type": one}, definitions) for one in kind])
    if kind == "object":
        return _object(node, definitions)
    if kind == "array":
        if not isinstance(node.get("items"), dict) or "prefixItems" in node:
            raise Inexpressible("a list of unlike or unknown values")
        return {"type": "array", "items": _strict(node["items"], definitions)}
    if kind not in ("string", "number", "integer", "boolean", "null"):
        raise Inexpressible("any value at all")
    return {"type": kind}


def _object(node: Schema, definitions: Schema) -> dict[str, Any]:
    fields = node.get("properties", {})
    others = node.get("additionalProperties", False)
    if isinstance(others, dict) or (others and not fields) or "patternProperties" in node:
        raise Inexpressible("an object with free keys")
    return {
        "type": "object",
        "properties": {name: _strict(field, definitions) for name, field in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def _enumerated(values: Any) -> dict[str, Any]:
    by_kind: dict[str, list[Any]] = {}
    for value in values or []:
        kind = _kind_of(value)
        if value not in by_kind.setdefault(kind, []):
            by_kind[kind].append(value)
    return _any_of([{"type": kind, "enum": found} for kind, found in by_kind.items()])


def _kind_of(value: Any) -> str:
    kinds = ((type(None), "null"), (bool, "boolean"), (int, "integer"), (float, "number"))
    for python, kind in (*kinds, (str, "string")):
        if isinstance(value, python):
            return kind
    raise Inexpressible("a choice between values that are no plain ones")


def _any_of(variants: list[dict[str, Any]]) -> dict[str, Any]:
    if not variants:
        raise Inexpressible("a choice of nothing")
    flat = [
        part
        for variant in variants
        for part in (variant["anyOf"] if variant.keys() == {"anyOf"} else [variant])
    ]
    return flat[0] if len(flat) == 1 else {"anyOf": flat}


def _described(made: dict[str, Any], node: Schema) -> dict[str, Any]:
    said = [f"{key}: {_plain(node[key])}" for key in _NOTED if key in node]
    told = [str(node["description"])] if node.get("description") else []
    told += ["{" + ", ".join(said) + "}"] if said else []
    return {**made, "description": "\n\n".join(told)} if told else made


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _named(reference: str, definitions: Schema) -> Schema:
    found = definitions.get(_name_of(reference))
    if not isinstance(found, dict):
        raise Inexpressible("a reference to outside of the schema")
    return found


def _name_of(reference: str) -> str:
    return reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")


def references(node: Any) -> Iterator[str]:
    """The names of the definitions that a schema, or a part of one, refers to."""
    if isinstance(node, list):
        for part in node:
            yield from references(part)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield _name_of(node["$ref"])
        for value in node.values():
            yield from references(value)


def _refuse_recursion(root: Any, definitions: Schema, within: tuple[str, ...] = ()) -> None:
    for name in set(references(root)):
        if name in within:
            raise Inexpressible("a model within itself")
        _refuse_recursion(definitions.get(name), definitions, (*within, name))


def _refuse_excess(made: dict[str, Any], bounds: SchemaBounds) -> None:
    definitions = made.get("$defs", {})
    properties = enum_values = characters = unions = 0
    for node in (made, *definitions.values()):
        for part in _nodes(node):
            names = part.get("properties", {})
            values = part.get("enum", [])
            said = sum(len(value) for value in values if isinstance(value, str))
            if said > bounds.enum_characters:
                raise Inexpressible(f"a choice of {said} characters")
            properties += len(names)
            unions += "anyOf" in part
            enum_values += len(values)
            characters += said + sum(map(len, names))
            if not all(bounds.name.fullmatch(name) for name in names):
                raise Inexpressible("a field's name")
    counted = {
        "levels": (_depth(made, definitions), bounds.depth),
        "fields": (properties, bounds.properties),
        "choices": (enum_values, bounds.enum_values),
        "characters": (characters, bounds.characters),
        "choices between types": (unions, bounds.unions),
    }
    for what, (found, most) in counted.items():
        if found > most:
            raise Inexpressible(f"{found} {what}")


def _nodes(node: Schema) -> Iterator[Schema]:
    yield node
    inner = [*node.get("properties", {}).values(), *node.get("anyOf", [])]
    for part in (*inner, *([node["items"]] if "items" in node else [])):
        yield from _nodes(part)


def _depth(node: Schema, definitions: Schema) -> int:
    if "$ref" in node:
        return _depth(definitions[_name_of(node["$ref"])], definitions)
    inner = [*node.get("properties", {}).values(), *node.get("anyOf", [])]
    inner += [node["items"]] if "items" in node else []
    own = 0 if "anyOf" in node else 1
    return own + max((_depth(part, definitions) for part in inner), default=0)
