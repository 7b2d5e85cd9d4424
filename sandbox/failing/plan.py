"""The ``--faults`` file: faults by seeded chance, output lengths, and limits per model.

    seed = 7

    [[fault]]                 # per call of a matching model, independent draws, first hit wins
    model = "open-*"
    kind = "429"              # any kind a marker knows
    probability = 0.05
    after = 1                 # the kind's own number, where it takes one

    [[output]]                # billed output tokens, log-uniform from low to high
    model = "*"
    low = 100
    high = 1000

    [[limit]]                 # instead of --rpm, --tpm and --concurrent for these models
    model = "open-small"
    rpm = 60
    tpm = 20000
    concurrent = 4
    too_large = 413           # for one call above its tokens a minute, as Groq; else 429
    window = 10               # seconds that stand for the minute
    told = false              # no header says what the limits are

``[[refuses]]`` and ``[[reasoning]]`` are described in ``sandbox.wires.hosts``.
Draws depend on the seed, the model and the ordinal of the model's admitted calls, nothing else.
"""

import hashlib
import math
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from sandbox.failing.faults import Fault, fault
from sandbox.failing.limits import WINDOW, Limit
from sandbox.wires.call import Json
from sandbox.wires.hosts import Hosts, read_hosts

_UNIT = 1 << 53


@dataclass(frozen=True, slots=True)
class Chance:
    """A fault that strikes calls of matching models with this probability."""

    model: str
    probability: float
    fault: Fault


@dataclass(frozen=True, slots=True)
class Output:
    """Billed output of matching models, in tokens, both ends included."""

    model: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What the file says; empty without one."""

    seed: int = 0
    chances: tuple[Chance, ...] = ()
    outputs: tuple[Output, ...] = ()
    limits: tuple[tuple[str, Limit], ...] = field(default=())
    hosts: Hosts = field(default_factory=Hosts)

    def fault(self, model: str, ordinal: int) -> Fault | None:
        """The fault drawn for the model's call number ``ordinal``, if one strikes."""
        for at, chance in enumerate(self.chances):
            drawn = self._draw("fault", at, model, ordinal)
            if fnmatchcase(model, chance.model) and drawn < chance.probability:
                return chance.fault
        return None

    def output_tokens(self, model: str, ordinal: int) -> int | None:
        """The output to bill for that call in tokens; ``None`` where the text itself is counted."""
        for at, output in enumerate(self.outputs):
            if fnmatchcase(model, output.model):
                drawn = self._draw("output", at, model, ordinal)
                return round(output.low * math.pow(output.high / output.low, drawn))
        return None

    def limit(self, model: str, otherwise: Limit) -> Limit:
        """The limits of a model: the first that matches, else ``otherwise``."""
        for pattern, limit in self.limits:
            if fnmatchcase(model, pattern):
                return limit
        return otherwise

    def _draw(self, what: str, at: int, model: str, ordinal: int) -> float:
        named = f"{self.seed}/{what}/{at}/{model}/{ordinal}".encode()
        digest = hashlib.blake2b(named, digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) / _UNIT


def read_plan(path: Path) -> Plan:
    """Reads the file. Raises ``ValueError`` for anything in it that is not understood."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    _only(found, "file", {"seed", "fault", "output", "limit", "refuses", "reasoning"})
    if ("fault" in found or "output" in found) and not isinstance(found.get("seed"), int):
        raise ValueError("faults file: a whole number must be given as seed")
    return Plan(
        seed=found.get("seed", 0),
        chances=tuple(_chance(row) for row in found.get("fault", [])),
        outputs=tuple(_output(row) for row in found.get("output", [])),
        limits=_limits(found),
        hosts=read_hosts(found.get("refuses", []), found.get("reasoning", [])),
    )


def _chance(row: Json) -> Chance:
    given = dict(row)
    try:
        model, kind = str(given.pop("model")), str(given.pop("kind"))
        probability = given.pop("probability")
    except KeyError as missing:
        raise ValueError(f"faults file: a [[fault]] lacks {missing}") from None
    if type(probability) not in (int, float) or not 0 <= probability <= 1:
        raise ValueError("faults file: probability is not a number from 0 to 1")
    return Chance(model, float(probability), fault(kind, given))


def _output(row: Json) -> Output:
    _only(row, "[[output]]", {"model", "low", "high"})
    low, high = _count(row, "low"), _count(row, "high")
    if low is None or high is None or low > high or "model" not in row:
        raise ValueError("faults file: an [[output]] needs model and low <= high, from 1 token up")
    return Output(str(row["model"]), low, high)


def read_limits(path: Path) -> tuple[tuple[str, Limit], ...]:
    """A file of ``[[limit]]`` alone. Raises ``ValueError`` for anything that is not understood."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    _only(found, "file", {"limit"})
    return _limits(found)


def _limits(found: Json) -> tuple[tuple[str, Limit], ...]:
    return tuple(_limit(row) for row in found.get("limit", []))


def _limit(row: Json) -> tuple[str, Limit]:
    _only(row, "[[limit]]", {"model", "rpm", "tpm", "concurrent", "too_large", "window", "told"})
    if "model" not in row:
        raise ValueError("faults file: a [[limit]] lacks 'model'")
    too_large = row.get("too_large", 429)
    if too_large not in (413, 429):
        raise ValueError("faults file: too_large is 413 or 429")
    window, told = row.get("window", WINDOW), row.get("told", True)
    if type(window) not in (int, float) or not 0 < window <= 86_400:
        raise ValueError("faults file: window is not a number of seconds above 0")
    if not isinstance(told, bool):
        raise ValueError("faults file: told is true or false")
    counts = (_count(row, "rpm"), _count(row, "tpm"), _count(row, "concurrent"))
    return str(row["model"]), Limit(*counts, too_large, float(window), told)


def _count(row: Json, name: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"faults file: {name} is not a whole number from 1 up")
    return value


def _only(row: Json, where: str, known: set[str]) -> None:
    unknown = row.keys() - known
    if unknown:
        raise ValueError(f"faults file: {where} has unknown {sorted(unknown)}")
