"""Answers by hash: the same model, prompt and schema always give the same text.

A JSON schema is filled field by field, from the words of the prompt where that is plausible and
by hash where not. The answer validates against the schema; a schema that asks for what cannot be
promised (``pattern``, for one) is refused rather than answered wrongly.
"""

import hashlib
import json
from typing import Any

from sandbox.answering.described import schema_of
from sandbox.answering.fill import Fill
from sandbox.answering.words import Words
from sandbox.wires.call import Call, Json, Refused

INVALID_LABEL = "sandbox-invalid"


def answer(call: Call) -> str:
    """The text a model would have written: JSON where JSON was asked for, else a short sentence.

    Raises ``Refused`` 400 for a schema that cannot be satisfied here.
    """
    words = Words(call.subject, max(call.pieces, key=len, default=""))
    schema = schema_of(call)
    fill = Fill(_seed(call), words, schema or {})
    if schema is not None:
        return _dump(_whole(fill, schema))
    said = " ".join(words.list[: 8 + fill.draw("length", 17)])
    if call.wants_json:
        return _dump({"answer": said})
    return f"Simulated answer: {said}."


def broken(call: Call) -> str:
    """An answer that parses as JSON and violates the schema.

    A label outside its list, where the schema has one at the top; else a required field is left
    out; else the whole is of the wrong type. Without a schema: text that is not JSON.
    """
    schema = schema_of(call)
    if schema is None:
        return "Simulated answer that is not JSON: {"
    fill = Fill(_seed(call), Words(call.subject), schema)
    value = _whole(fill, schema)
    top = fill.resolve(schema)
    if not isinstance(value, dict):
        return _dump({INVALID_LABEL: True})
    for name, field in top.get("properties", {}).items():
        if name in value and "enum" in fill.resolve(field):
            return _dump({**value, name: INVALID_LABEL})
    for name in top.get("required", []):
        return _dump({key: kept for key, kept in value.items() if key != name})
    return _dump([value])


def _whole(fill: Fill, schema: Json) -> Any:
    """The filled schema; what only looks like a schema fails in ways of its own."""
    try:
        return fill.value(schema, "$")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Refused(400, f"not a JSON schema: {type(error).__name__}") from None


def _seed(call: Call) -> bytes:
    schema: Json | str = "json" if call.wants_json and call.schema is None else call.schema or ""
    asked = json.dumps([call.model, call.pieces, schema], sort_keys=True)
    return hashlib.sha256(asked.encode()).digest()


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
