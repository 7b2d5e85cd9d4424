r"""Forms described in words: a schema in the prompt, bounds in a schema's description.

Clients tell bounds so where a vendor's subset has no key: ``"How sure\n\n{minimum: 0}"`` bounds a
number for whoever reads descriptions, and a model does. What is told so is kept, never enforced:
the caller's own validation is.
"""

import json
import re

from sandbox.wires.call import Call, Json

_TOLD = re.compile(r"\{([^{}]*)\}\s*$")
_BOUND = re.compile(r"(\w+): ([^,]+)(?:, |$)")
_KNOWN = {
    *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_FORMATS = {"date", "date-time", "time", "email", "uri", "uuid"}


def schema_of(call: Call) -> Json | None:
    """The schema of the answer: the request's own, or one that its prompt states on a line."""
    if call.schema is not None:
        return call.schema
    for piece in call.pieces:
        _, stated, rest = piece.partition("JSON schema")
        for line in rest.splitlines() if stated else ():
            if line.startswith("{"):
                try:
                    found = json.loads(line, object_hook=_without_pattern)
                except ValueError:
                    continue
                if isinstance(found, dict) and found.keys() & {"type", "$ref", "anyOf", "oneOf"}:
                    return found
    return None


def _without_pattern(part: Json) -> Json:
    # A model tries what it is told in words; nobody refuses a prompt for its regular expression.
    return {key: value for key, value in part.items() if key != "pattern" or type(value) is dict}


def with_bounds(schema: Json) -> Json:
    """The schema with what its description ends in; its own keys win."""
    told = _TOLD.search(str(schema.get("description", "")))
    if told is None:
        return schema
    bounds: Json = {}
    for name, value in _BOUND.findall(told.group(1)):
        if name == "format" and value in _FORMATS:
            bounds[name] = value
        if name in _KNOWN:
            try:
                bounds[name] = json.loads(value)
            except ValueError:
                continue
    return {**bounds, **schema}
