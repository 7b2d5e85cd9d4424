"""A pydantic field in a reader's words: how its value is written, its range, its default."""

from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tierqueue.router.policy import defaults, prices
from tierqueue.router.policy.duration import SECOND_US

_WRITTEN: dict[Any, str] = {
    defaults.Money: 'dollars: `"0.02usd"`',
    prices.Duration: 'duration: `"30s"`, `"5m"`, `"24h"`, `"7d"`',
    prices.TokenPrice: 'dollars a million tokens: `"0.40"`',
    prices.HourPrice: 'dollars an hour: `"2.10"`',
}
"""How values are written that are kept in another unit, by what reads them."""

_PLAIN = {bool: "true or false", int: "whole number", float: "number", str: "string"}


def written(field: FieldInfo) -> str:
    """How the field's value is written, with its range."""
    return _written(field.annotation, field.metadata)


def default(field: FieldInfo) -> str:
    """What holds where the key is not stated."""
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case int() if written(field) == _WRITTEN[prices.Duration]:
            return f'`"{_duration(value)}"`'
        case {} | ():
            return ""
        case tuple():
            return f"`{list(value)}`"
        case float() if value.is_integer():
            return f"`{int(value)}`"
        case str():
            return f'`"{value}"`'
    return f"`{value}`"


def _duration(microseconds: int) -> str:
    """As the policy writes it, in the largest unit that holds it whole."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if microseconds % (size * SECOND_US) == 0:
            return f"{microseconds // (size * SECOND_US)}{unit}"
    return f"{microseconds / SECOND_US:g}s"


def table_in(annotation: Any) -> type[BaseModel] | None:
    """The table that a field holds, one or several of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (table_in(part) for part in get_args(annotation))
    return next((table for table in found if table is not None), None)


def _written(annotation: Any, metadata: list[Any]) -> str:
    readers = [entry.func for entry in metadata if isinstance(entry, BeforeValidator)]
    for kind, text in _WRITTEN.items():
        if annotation is kind or get_args(kind)[1].func in readers:
            return text
    match get_origin(annotation):
        case origin if origin in (Union, UnionType):
            parts = [part for part in get_args(annotation) if part is not NoneType]
            return " or ".join(_written(part, metadata) for part in parts)
        case origin if origin is Literal:
            return ", ".join(f'`"{value}"`' for value in get_args(annotation))
        case origin if origin is dict:
            key, value = get_args(annotation)
            named = isinstance(key, type) and issubclass(key, StrEnum)
            of = ", ".join(f"`{member.value}`" for member in key) if named else "by name"
            return f"table ({of})" if table_in(value) else "table of values"
        case origin if origin is tuple:
            part = get_args(annotation)[0]
            return "array of tables" if table_in(part) else f"array: {_written(part, [])}"
        case None:
            pass
        case _:  # Annotated
            kind, *more = get_args(annotation)
            return _written(kind, [bound for entry in more for bound in _bounds(entry)])
    if table_in(annotation):
        return "table"
    if issubclass(annotation, StrEnum):
        return ", ".join(f'`"{member.value}"`' for member in annotation)
    return _PLAIN.get(annotation, "string") + _range(metadata)


def _bounds(entry: Any) -> list[Any]:
    return entry.metadata if isinstance(entry, FieldInfo) else [entry]


def _range(metadata: list[Any]) -> str:
    bounds = []
    for entry in metadata:
        match entry:
            case Gt(gt=limit):
                bounds.append(f"above {_figure(limit)}")
            case Ge(ge=limit):
                bounds.append(f"from {_figure(limit)}")
            case Lt(lt=limit):
                bounds.append(f"below {_figure(limit)}")
            case Le(le=limit):
                bounds.append(f"up to {_figure(limit)}")
            case MinLen():
                bounds.append("not empty")
    return f", {' '.join(bounds)}" if bounds else ""


def _figure(limit: Any) -> str:
    return f"{limit:,}".removesuffix(".0")
