"""A trial of an engine's grammar on a schema, before an item depends on it."""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from tierqueue.tasks.answers.schema import Schema, references
from tierqueue.workers.engines.vllm import request

Holds = Callable[[Schema], bool]
"""Whether a schema can be made a grammar of."""

_CHOICES = ("anyOf", "oneOf", "allOf")


class Grammar:
    """The grammar of one engine: a schema is tried once, however many calls state it.

    ``llm`` is vLLM's own engine, and ``sampling`` how it is told of calls.
    """

    def __init__(self, llm: Any, sampling: request.Sampling) -> None:
        self._llm = llm
        self._sampling = sampling
        self._tried = lru_cache(maxsize=request.GRAMMARS)(self._try)

    def not_held(self, schema: Schema) -> str | None:
        """Which part of ``schema`` no grammar can be made of; ``None``: it holds all of it."""
        return self._tried(json.dumps(schema))

    def _try(self, schema: str) -> str | None:
        if self._holds(self._sampling.of_form(schema)):
            return None
        return part_not_held(
            json.loads(schema), lambda part: self._holds(request.alone(json.dumps(part)))
        )

    def _holds(self, asked: Any) -> bool:
        """As vLLM decides it when a request comes."""
        configuration = self._llm.vllm_config.structured_outputs_config
        try:
            asked._validate_structured_outputs(  # noqa: SLF001 - the version is pinned
                self._llm.model_config, configuration, self._llm.get_tokenizer()
            )
        except Exception:  # noqa: BLE001 - whatever its grammar raises, it makes none of it
            return False
        return True


def part_not_held(schema: Schema, holds: Holds) -> str:
    """The innermost part of ``schema`` that does not hold, and the word in it that is why.

    As ``lines[].price: pattern``; the word alone where it is the answer as a whole.
    """
    definitions: Schema = schema.get("$defs", {})
    node, path, within = schema, "", {""}
    while True:
        found = next(
            (
                (name, part)
                for name, part in _parts(node, definitions, within)
                if not holds(_whole(part, definitions))
            ),
            None,
        )
        if found is None:
            break
        within.add(str(node.get("$ref", "")))
        path, node = path + found[0], found[1]
    word = next((word for word in _words(node) if holds(_without(word, node, definitions))), "")
    return ": ".join(filter(None, (path.lstrip("."), word)))


def _words(node: Schema) -> list[str]:
    """The words of ``node``, its type last: without one nothing else means much."""
    return sorted((word for word in node if word != "$defs"), key=lambda word: word == "type")


def _without(word: str, node: Schema, definitions: Schema) -> Schema:
    return _whole({key: value for key, value in node.items() if key != word}, definitions)


def _parts(node: Schema, definitions: Schema, within: set[str]) -> Iterator[tuple[str, Schema]]:
    """The schemas right inside of ``node``, each with how it is named after it."""
    reference = node.get("$ref")
    if isinstance(reference, str) and reference not in within:
        yield "", definitions.get(reference.removeprefix("#/$defs/"), {})
    for name, part in node.get("properties", {}).items():
        yield f".{name}", part
    for word in ("items", "additionalProperties"):
        if isinstance(node.get(word), dict):
            yield "[]", node[word]
    for at, part in enumerate(node.get("prefixItems", [])):
        yield f"[{at}]", part
    for word in _CHOICES:
        for part in node.get(word, []):
            yield "", part


def _whole(part: Schema, definitions: Schema) -> Schema:
    """``part`` with those of the ``definitions`` alone that it refers to."""
    kept: dict[str, Any] = {}
    wanted = list(references(part))
    while wanted:
        name = wanted.pop()
        if name in definitions and name not in kept:
            kept[name] = definitions[name]
            wanted += references(kept[name])
    bare = {key: value for key, value in part.items() if key != "$defs"}
    return {**bare, "$defs": kept} if kept else bare
