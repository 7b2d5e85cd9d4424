"""An answer as plain JSON, as the ledger keeps it, and as its model again."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)

_SAME = frozenset({str, bool, type(None)})
"""What is the same in JSON, whatever it says; numbers may be none, or without end."""


def dumped(answer: BaseModel) -> Any:
    """Plain JSON under the fields' names, or their aliases where the model says
    ``serialize_by_alias``. Raises ``ValueError`` for a number that is not finite.
    """
    plain = answer.model_dump(mode="json", by_alias=_by_alias(type(answer)))
    if type(plain) is dict and _SAME.issuperset(map(type, (*plain, *plain.values()))):
        return plain
    return json.loads(json.dumps(plain, allow_nan=False))


def read(model: type[M], plain: Any) -> M:
    """What ``dumped`` wrote, as its model. Raises pydantic's ``ValidationError``."""
    text, by_alias = json.dumps(plain), _by_alias(model)
    try:
        return model.model_validate_json(text, by_alias=by_alias, by_name=True)
    except ValidationError:
        # Computed fields are kept for readers of the plain output, and are no input.
        return model.model_validate_json(text, by_alias=by_alias, by_name=True, extra="ignore")


def _by_alias(model: type[BaseModel]) -> bool:
    return bool(model.model_config.get("serialize_by_alias"))
