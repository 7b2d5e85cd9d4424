"""A sample of a file: rows of every length, and of every value of a column, drawn by their content.

Rows are told apart by a hash of what an answer depends on, and those with the smallest hashes are
drawn: identical rows count once, and the same file has the same sample. One pass, constant memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heappush, heapreplace
from math import sqrt
from typing import Any

from tierqueue.tasks.files.source import SourceRow
from tierqueue.tasks.submission import fingerprint

_KEPT = 1024
"""Hashes that are kept of a layer; how many there are of more is an estimate."""

_VALUES = 12
"""Values of a column that have layers of their own."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Rows that are alike: about how many different ones there are, and the numbers of those drawn.

    ``unsure``: the relative error of ``rows``, 0 where they were counted.
    """

    name: str
    rows: float
    unsure: float
    numbers: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """As a job keeps it."""
        return {
            "name": self.name,
            "rows": self.rows,
            "unsure": self.unsure,
            "numbers": list(self.numbers),
        }

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> "Layer":
        """As ``to_json`` wrote it."""
        numbers = tuple(int(number) for number in kept["numbers"])
        return cls(str(kept["name"]), float(kept["rows"]), float(kept["unsure"]), numbers)


def draw(
    rows: Iterable[SourceRow], size: int, *, only: str | None, by: str | None
) -> tuple[Layer, ...]:
    """About ``size`` different rows, as many of each length and value of ``by`` as there are.

    ``only``: the one column that is asked about. Rows that cannot be items are left out.
    """
    found: dict[tuple[str, int], _Smallest] = {}
    values: set[str] = set()
    for row in rows:
        if row.wrong is not None:
            continue
        value = "" if by is None else str(row.columns.get(by))
        if value not in values:
            if len(values) < _VALUES:
                values.add(value)
            else:
                value = "others"
        heard = row.columns if only is None else {only: row.columns.get(only)}
        length = sum(len(str(cell)) for cell in heard.values())
        hashed = int(fingerprint.of_row(row.columns, only)[:16], 16)
        found.setdefault((value, length.bit_length()), _Smallest()).add(hashed, row.number)
    layers = {_name(by, *key): kept for key, kept in found.items()}
    return _allotted(_few(layers, max(1, size // 4)), size)


class _Smallest:
    """The smallest hashes of a layer, each with the first row that has it."""

    __slots__ = ("_heap", "first", "more")

    def __init__(self) -> None:
        self._heap: list[int] = []
        self.first: dict[int, int] = {}
        self.more = False

    def add(self, hashed: int, number: int) -> None:
        if hashed in self.first:
            return
        if len(self._heap) < _KEPT:
            heappush(self._heap, -hashed)
        else:
            self.more = True
            if hashed > -self._heap[0]:
                return
            del self.first[-heapreplace(self._heap, -hashed)]
        self.first[hashed] = number

    @property
    def rows(self) -> float:
        """How many different ones there are: of evenly spread hashes the last one kept tells it."""
        if not self.more:
            return float(len(self.first))
        return (_KEPT - 1) * 2.0**64 / -self._heap[0]


def _few(layers: Mapping[str, _Smallest], most: int) -> dict[str, _Smallest]:
    """The biggest layers, and the others as one."""
    ordered = sorted(layers.items(), key=lambda layer: -layer[1].rows)
    if len(ordered) <= most:
        return dict(ordered)
    rest = _Smallest()
    for _, layer in ordered[most - 1 :]:
        rest.more |= layer.more
        for hashed, number in layer.first.items():
            rest.add(hashed, number)
    return {**dict(ordered[: most - 1]), "others": rest}


def _allotted(layers: Mapping[str, _Smallest], size: int) -> tuple[Layer, ...]:
    whole = sum(layer.rows for layer in layers.values())
    drawn = []
    for name, layer in layers.items():
        quota = max(2, round(size * layer.rows / whole)) if size < whole else len(layer.first)
        numbers = tuple(number for _, number in sorted(layer.first.items())[:quota])
        unsure = 1 / sqrt(_KEPT - 2) if layer.more else 0.0
        drawn.append(Layer(name, layer.rows, unsure, numbers))
    return tuple(drawn)


def _name(by: str | None, value: str, bits: int) -> str:
    longest = f"up to {2**bits - 1} characters"
    return longest if by is None else f"{by} {value}, {longest}"
