"""JSON lines: one object a line."""

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files import text
from tierqueue.tasks.files.source import Format, Reading, Source, SourceRow


def read(path: Path, reading: Reading) -> Source:
    """A file of JSON lines, read once to its end; raises ``InvalidItem`` where it has no rows."""
    encoding = text.encoding_of(path, reading.encoding)
    total = 0
    with text.reading(path, encoding.name) as file:
        for line in text.lines(file, path):
            total += not line.isspace()
    if not total:
        raise InvalidItem(f"{path} has no rows")

    def rows() -> Iterator[SourceRow]:
        return _rows(path, encoding.name)

    first = next((row for row in rows() if row.wrong is None), None)
    return Source(
        path.name,
        Format("jsonl", encoding.name),
        () if first is None else tuple(first.columns),
        total,
        rows,
        (f"read as {encoding.name}",) if encoding.guessed else (),
    )


def _rows(path: Path, encoding: str) -> Iterator[SourceRow]:
    number = 0
    with text.reading(path, encoding) as file:
        for line, said in enumerate(text.lines(file, path), start=1):
            if said.isspace():
                continue
            place = f"line {line}"
            try:
                values = json.loads(said, parse_constant=_no_number, parse_float=_number)
            except (ValueError, RecursionError) as error:
                why = getattr(error, "msg", None) or str(error)
                yield SourceRow(number, {}, place, f"not JSON: {why}")
            else:
                if isinstance(values, dict):
                    yield SourceRow(number, values, place)
                else:
                    yield SourceRow(number, {}, place, "not a JSON object")
            number += 1


def _number(said: str) -> float:
    if not isfinite(number := float(said)):
        raise ValueError(f"{said[:20]} is a number beyond all that can be kept")
    return number


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
