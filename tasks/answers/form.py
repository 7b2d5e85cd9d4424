"""The form that a deployment is asked for: by a schema it enforces, or in words."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.answers.output_model import refuse_unfit
from tierqueue.tasks.answers.schema import (
    ANTHROPIC,
    OPENAI,
    Inexpressible,
    Schema,
    SchemaBounds,
    grammatical,
    strict,
)

if TYPE_CHECKING:
    from tierqueue.router.policy.deployment import Deployment

_WORDS = "Answer with JSON that follows this JSON schema, and with nothing else:\n"
_ENVELOPE = 64
"""Most bytes that a provider's own marks around a schema come to."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """``schema``, called ``name``, is enforced by the provider; ``json_object`` has it hold the
    model to a JSON object; ``words`` follow the system prompt. The answer is validated here in any
    case.
    """

    schema: Schema | None = None
    name: str = ""
    json_object: bool = False
    words: str = ""


FREE_TEXT = AnswerForm()


@lru_cache(maxsize=4096)
def asked_of(deployment: "Deployment", model: type[BaseModel] | None) -> AnswerForm:
    """The form in which ``deployment`` is asked for a ``model``; ``None`` is free text.

    What the deployment's ``structured_output``, or its vendor's schema subset, cannot express is
    asked for in words. Raises ``InvalidItem`` for a model that has no JSON schema.
    """
    if model is None:
        return FREE_TEXT
    whole = schema_of(model)
    if deployment.engine == "vllm":
        return AnswerForm(schema=grammatical(whole), name=_name(model))
    if deployment.structured_output == "json_schema":
        bounds = ANTHROPIC if deployment.engine == "anthropic" else OPENAI
        enforced = _strict(model, bounds)
        if enforced is not None:
            return AnswerForm(schema=enforced, name=_name(model))
    # A provider's JSON mode knows objects only, and Anthropic has none.
    mode = deployment.engine == "openai" and deployment.structured_output != "none"
    return AnswerForm(json_object=mode and _is_object(whole), words=_words(whole))


@lru_cache(maxsize=1024)
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The model's own JSON schema. Raises ``InvalidItem`` where it has none, or holds what no
    answer can be.
    """
    try:
        schema = model.model_json_schema()
    except PydanticInvalidForJsonSchema as error:
        raise InvalidItem(f"{model.__name__} has no JSON schema: {error.message}") from None
    refuse_unfit(model)
    return schema


@lru_cache(maxsize=1024)
def size(model: type[BaseModel] | None) -> int:
    """The most UTF-8 bytes by which asking for ``model`` lengthens a prompt, at any deployment."""
    if model is None:
        return 0
    return _ENVELOPE + max(len(text.encode()) for text in texts(model))


def texts(model: type[BaseModel]) -> list[str]:
    """What a provider may bill as input for ``model``: each form it can be asked for in."""
    whole = schema_of(model)
    forms = [_strict(model, OPENAI), _strict(model, ANTHROPIC)]
    sent = [f"{_name(model)} {_dump(form)}" for form in (whole, *forms) if form is not None]
    return [_words(whole), *sent]


@lru_cache(maxsize=1024)
def _strict(model: type[BaseModel], bounds: SchemaBounds) -> Schema | None:
    try:
        return strict(schema_of(model), bounds)
    except Inexpressible:
        return None


def _name(model: type[BaseModel]) -> str:
    # What vendors take; a generic model is called "Page[int]", and a class may be "Größe".
    return re.sub(r"[^a-zA-Z0-9_-]", "_", model.__name__)[:64] or "answer"


def _words(whole: Schema) -> str:
    return _WORDS + json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _dump(schema: Schema) -> str:
    # Longer than any text of it that is sent: spaced, and in ASCII.
    return json.dumps(schema)


def _is_object(whole: Schema) -> bool:
    root = whole
    if "$ref" in root:
        root = whole.get("$defs", {}).get(root["$ref"].removeprefix("#/$defs/"), {})
    return root.get("type") == "object"
