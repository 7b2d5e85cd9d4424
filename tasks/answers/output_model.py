"""The rules for output models: answers in them can be given, stored and read again.

An answer is JSON three times: as a model writes it, in the ledger, and before its producer. Types
that one of the three cannot carry are refused where the task type is declared.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tierqueue.router.errors import InvalidItem

_SKIPPED = frozenset({"metadata", "default", "cls", "function", "expected"})
"""Parts of a core schema that are no schemas."""

_FIELDS = frozenset({"model-field", "dataclass-field", "typed-dict-field"})


def refuse_unfit(model: type[BaseModel]) -> None:
    """Raise ``InvalidItem`` for what no answer can be or can be read again as, naming the field."""
    for field, why in _unfit(model.__pydantic_core_schema__, "", False):
        where = f"{model.__name__}.{field}" if field else model.__name__
        raise InvalidItem(f"{where} {why}", {"field": field})


def _unfit(node: Any, field: str, by_name: bool) -> Iterator[tuple[str, str]]:
    """Fields and what is wrong with them; ``by_name``: their own names are read beside aliases."""
    if isinstance(node, list | tuple):
        for part in node:
            yield from _unfit(part, field, by_name)
    if not isinstance(node, Mapping):
        return
    config = node.get("config") or {}
    by_name = bool(config.get("validate_by_name", by_name))
    if node.get("type") == "dataclass-field":
        field = str(node["name"])
    if (why := _wrong(node, by_name)) is not None:
        yield field, why
        return
    if _bytes_differ(config) and any(part == "bytes" for part in _types(node)):
        yield field, "writes bytes as it does not read them: state both ser_ and val_json_bytes"
        return
    for name, part in node.items():
        if name == "fields" and isinstance(part, Mapping):
            for own, schema in part.items():
                yield from _unfit(schema, own, by_name)
        elif name not in _SKIPPED:
            yield from _unfit(part, field, by_name)


def _wrong(node: Mapping[str, Any], by_name: bool) -> str | None:
    kind = node.get("type")
    if kind == "json":
        return "is Json: an answer is JSON already, declare the type inside of it"
    if kind == "is-subclass":
        return "is a class, which no answer is: declare its name as an enum"
    for called in _called(node):
        named = getattr(called, "__qualname__", "").lower()
        if getattr(called, "__module__", "").startswith("pydantic"):
            if "secret" in named:
                return "is a secret, which would be stored and returned as asterisks: declare str"
            if "import_string" in named:
                return "is an ImportString: an answer must not choose what is imported"
    if kind in _FIELDS:
        if node.get("serialization_exclude") and (node["schema"] or {}).get("type") != "default":
            return "is left out of the output (exclude) and has no default to be read again"
        if not by_name and not _can_be_asked_for(node.get("validation_alias")):
            return "is read by an AliasPath, which no JSON schema says: nest a model, or add a name"
    return None


def _called(node: Mapping[str, Any]) -> Iterator[Any]:
    function = node.get("function")
    yield function.get("function") if isinstance(function, Mapping) else function
    if isinstance(serialization := node.get("serialization"), Mapping):
        yield serialization.get("function")


def _can_be_asked_for(alias: Any) -> bool:
    """Whether the name that the JSON schema has for the field is one that it is read by."""
    if alias is None or isinstance(alias, str):
        return True
    return any(isinstance(path, list) and len(path) == 1 for path in alias)


def _bytes_differ(config: Mapping[str, Any]) -> bool:
    return bool(config.get("ser_json_bytes", "utf8") != config.get("val_json_bytes", "utf8"))


def _types(node: Any) -> Iterator[Any]:
    if isinstance(node, list | tuple):
        for part in node:
            yield from _types(part)
    if isinstance(node, Mapping):
        yield node.get("type")
        for name, part in node.items():
            if name not in _SKIPPED:
                yield from _types(part)
