r"""Bounds that a schema's description tells, as clients do where a vendor's subset has no key.

``"How sure\n\n{minimum: 0, maximum: 1}"`` bounds a number for whoever reads descriptions, and a
model does. What is told so is kept, never enforced: the caller's own validation is.
"""

import json
import re

from sandbox.call import Json

_TOLD = re.compile(r"\{([^{}]*)\}\s*$")
_BOUND = re.compile(r"(\w+): ([^,]+)(?:, |$)")
_KNOWN = {
    *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}


def with_bounds(schema: Json) -> Json:
    """The schema with what its description ends in; its own keys win."""
    told = _TOLD.search(str(schema.get("description", "")))
    if told is None:
        return schema
    bounds: Json = {}
    for name, value in _BOUND.findall(told.group(1)):
        if name in _KNOWN:
            try:
                bounds[name] = json.loads(value)
            except ValueError:
                continue
    return {**bounds, **schema}
