"""A value for a JSON schema: by hash, steered by the prompt's words."""

import hashlib
from fractions import Fraction
from math import ceil, floor
from typing import Any

from sandbox.answering.described import with_bounds
from sandbox.answering.strings import quotation, string
from sandbox.answering.words import Words
from sandbox.wires.call import Json, Refused

DEEP = 6
BOTTOM = 40
_REFUSED = {"pattern", "not", "if", "contains", "dependentRequired", "propertyNames"}


class Fill:
    """Fills schemas from one seed. ``root`` holds the ``$defs`` that a ``$ref`` may name."""

    def __init__(self, seed: bytes, words: Words, root: Json) -> None:
        self.words = words
        self._seed = seed
        self._root = root

    def draw(self, path: str, below: int) -> int:
        """A number in ``0 .. below - 1`` that belongs to this seed and path."""
        digest = hashlib.blake2b(
            path.encode("utf-8", "surrogatepass"), key=self._seed, digest_size=8
        ).digest()
        return int.from_bytes(digest, "big") % below

    def resolve(self, schema: Any) -> Json:
        """The schema itself, a ``$ref`` followed, an ``allOf`` of one merged."""
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            raise Refused(400, "the schema is not a JSON schema the sandbox can answer")
        for _ in range(BOTTOM):
            if "$ref" not in schema:
                break
            schema = {**self._lookup(schema["$ref"]), **_without(schema, "$ref")}
        else:
            raise Refused(400, "the schema refers to itself without end")
        if "allOf" in schema:
            if len(schema["allOf"]) != 1:
                raise Refused(400, "the sandbox does not answer allOf of several schemas")
            return {**self.resolve(schema["allOf"][0]), **_without(schema, "allOf")}
        return dict(schema)

    def value(self, schema: Any, path: str, depth: int = 0, rank: int = 0) -> Any:
        """A value that validates. ``rank`` asks for the next best where values must differ."""
        schema = with_bounds(self.resolve(schema))
        if depth > BOTTOM:
            raise Refused(400, "the schema nests without end")
        refused = _REFUSED & schema.keys()
        if refused:
            raise Refused(400, f"the sandbox does not answer schemas with {sorted(refused)}")
        if "const" in schema or "enum" in schema:
            return self._choice(schema.get("enum", [schema.get("const")]), path, rank)
        options = schema.get("anyOf", schema.get("oneOf"))
        if options is not None:
            return self._option(options, path, depth, rank)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            spread = [{**schema, "type": one} for one in kind]
            return self._option(spread, path, depth, rank)
        return self._typed(kind, schema, path, depth, rank)

    def _typed(self, kind: Any, schema: Json, path: str, depth: int, rank: int) -> Any:
        if kind == "object":
            return self._object(schema, path, depth)
        if kind == "array":
            return self._array(schema, path, depth)
        if kind == "string" and "quotation" in path and self.words.lines:
            return quotation(schema, self.words, lambda below: self.draw(f"{path}#{rank}", below))
        if kind == "string":
            return string(schema, self.words, lambda below: self.draw(f"{path}#{rank}", below))
        if kind in ("integer", "number"):
            return self._number(schema, path, rank, whole=kind == "integer")
        if kind == "boolean":
            return bool((self.draw(path, 2) + rank) % 2)
        if kind == "null":
            return None
        raise Refused(400, f"the sandbox does not answer schemas of type {kind!r}")

    def _lookup(self, ref: str) -> Json:
        found: Any = self._root
        if not ref.startswith("#"):
            raise Refused(400, "the sandbox follows only $ref within the schema")
        for step in ref[1:].split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~"))
            if not isinstance(found, dict):
                raise Refused(400, f"the schema has no {ref!r}")
        return dict(found)

    def _choice(self, options: list[Any], path: str, rank: int) -> Any:
        if not options:
            raise Refused(400, "the schema has an empty enum")
        share = self.words.affinity([str(option) for option in options])
        order = sorted(
            range(len(options)), key=lambda at: (-share[at], self.draw(f"{path}?{at}", 1 << 30))
        )
        return options[order[rank % len(order)]]

    def _option(self, options: list[Any], path: str, depth: int, rank: int) -> Any:
        """One of several schemas: null one time in eight, or where the value is deep already."""
        nulls = [one for one in options if self.resolve(one).get("type") == "null"]
        others = [one for one in options if one not in nulls]
        if nulls and (not others or depth >= DEEP or self.draw(f"{path}?null", 8) == 0):
            return None
        trouble: Refused | None = None
        for option in others:
            try:
                return self.value(option, path, depth + 1, rank)
            except Refused as refused:
                trouble = refused
        raise trouble or Refused(400, "the schema offers nothing to choose from")

    def _object(self, schema: Json, path: str, depth: int) -> Json:
        fields = schema.get("properties", {})
        required = schema.get("required", [])
        names = [name for name in fields if depth < DEEP or name in required]
        names += [name for name in required if name not in fields]
        made = {
            name: self.value(fields.get(name, {}), f"{path}.{name}", depth + 1) for name in names
        }
        extra = schema.get("additionalProperties", True)
        for at in range(schema.get("minProperties", 0) - len(made)):
            if extra is False:
                raise Refused(400, "the schema asks for more properties than it allows")
            made[f"simulated_{at}"] = self.value(extra, f"{path}.simulated_{at}", depth + 1)
        if len(made) > schema.get("maxProperties", len(made)):
            raise Refused(400, "the schema names more properties than it allows")
        return made

    def _array(self, schema: Json, path: str, depth: int) -> list[Any]:
        fixed = schema.get("prefixItems", [])
        items = schema.get("items", {} if not fixed else False)
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, len(fixed), 3))
        if items is False:
            most = min(most, len(fixed))
        if least > most:
            raise Refused(400, "the schema asks for more items than it allows")
        low = max(least, min(1, most), min(len(fixed), most)) if depth < DEEP else least
        length = low + (self.draw(path, min(most - low, 2) + 1) if depth < DEEP else 0)
        made: list[Any] = []
        for at in range(length):
            item = fixed[at] if at < len(fixed) else items
            made.append(self._item(item, f"{path}[{at}]", depth, made, schema))
        return made

    def _item(self, item: Any, path: str, depth: int, made: list[Any], schema: Json) -> Any:
        if not schema.get("uniqueItems"):
            return self.value(item, path, depth + 1)
        for rank in range(len(made), len(made) + 50):
            value = self.value(item, path, depth + 1, rank)
            if value not in made:
                return value
        raise Refused(400, "the schema asks for more different items than the sandbox found")

    def _number(self, schema: Json, path: str, rank: int, *, whole: bool) -> int | float:
        """A number of the prompt within the bounds, else by hash; a confidence is by hash, high."""
        sure = path.lower().endswith("confidence")
        step = Fraction(str(schema.get("multipleOf", 1 if whole else Fraction(1, 100))))
        if whole:
            step = Fraction(step.numerator)
        least = _bound(schema, "minimum", "exclusiveMinimum", step, ceil)
        most = _bound(schema, "maximum", "exclusiveMaximum", step, floor)
        if least is not None and most is not None and least > most:
            return self._between(schema, whole)
        if not sure and rank == 0:
            for written in self.words.numbers():
                times = Fraction(written) / step
                small = least is not None and times < least
                if times.denominator == 1 and not small and (most is None or times <= most):
                    return _plain(times * step, whole)
        low = least if least is not None else min(0, 0 if most is None else most - 100)
        high = most if most is not None else low + (ceil(1 / step) if sure else 100)
        span = high - low + 1
        if sure:
            low, span = high - span * 3 // 10, span * 3 // 10 + 1
        return _plain((low + (self.draw(path, span) + rank) % span) * step, whole)

    def _between(self, schema: Json, whole: bool) -> float:
        low, high = schema.get("minimum"), schema.get("maximum")
        if whole or "multipleOf" in schema or low is None or high is None or low > high:
            raise Refused(400, "the schema's bounds leave no number the sandbox can give")
        return float(low)


def _bound(schema: Json, closed: str, opened: str, step: Fraction, toward: Any) -> int | None:
    """The bound as a whole number of steps, the tighter of the closed and the open one."""
    outward = 1 if toward is ceil else -1
    found: list[int] = []
    if schema.get(closed) is not None:
        found.append(toward(Fraction(str(schema[closed])) / step))
    if schema.get(opened) is not None:
        exact = Fraction(str(schema[opened])) / step
        at = int(toward(exact))
        found.append(at + outward if at == exact else at)
    if not found:
        return None
    return max(found) if toward is ceil else min(found)


def _plain(exact: Fraction, whole: bool) -> int | float:
    return int(exact) if whole else float(exact)


def _without(schema: Json, key: str) -> Json:
    return {name: kept for name, kept in schema.items() if name != key}
