"""The ``--batches`` file: how long batches take, what they may hold, and what time it is for them.

    seed = 7                  # draws depend on it and on the ordinal of the batch alone
    median = "10m"            # half of the batches are done by then
    beyond = "20h"            # and of the others this share takes longer still
    share = 0.01
    cancelling = "1m"         # how long a batch that is cancelled goes on
    requests = 50000          # the most of one batch
    bytes = 200000000         # the most of one input file
    enqueued_tokens = 1000000 # the most input tokens of a model in all batches that are not over
    clock = "clock.txt"       # a file with epoch seconds in it: the time as batches see it

Without ``median`` a batch is done when it is next asked for. Durations are drawn log-normally; a
batch's requests are served one after the other over its time, so that one that expires or is
cancelled has answered a part of them.
"""

import hashlib
import math
import re
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from sandbox.wires.call import Json

WINDOW = 86_400.0
"""Seconds after which what is not done expires: the one completion window there is."""

_UNITS = {"s": 1, "m": 60, "h": 3_600}
_COUNTS = {"seed", "requests", "bytes", "enqueued_tokens"}
_SPANS = {"median", "beyond", "cancelling"}


@dataclass(frozen=True, slots=True)
class Terms:
    """Spans in seconds; ``spread`` is the standard deviation of a duration's logarithm."""

    seed: int = 0
    median: float = 0.0
    spread: float = 0.0
    cancelling: float = 0.0
    requests: int = 50_000
    bytes: int = 200_000_000
    enqueued_tokens: int | None = None
    clock: Path | None = None

    def now(self) -> float:
        """Epoch seconds."""
        if self.clock is None:
            return time.time()
        return float(self.clock.read_text(encoding="utf-8"))

    def seconds(self, ordinal: int) -> float:
        """How long the batch of that number takes until its last request is served."""
        if not self.median:
            return 0.0
        digest = hashlib.blake2b(f"{self.seed}/batch/{ordinal}".encode(), digest_size=8).digest()
        drawn = (int.from_bytes(digest, "big") + 0.5) / 2**64
        return self.median * math.exp(self.spread * NormalDist().inv_cdf(drawn))


def read_terms(path: Path) -> Terms:
    """Reads the file. Raises ``ValueError`` for anything in it that is not understood."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    unknown = found.keys() - _COUNTS - _SPANS - {"share", "clock"}
    if unknown:
        raise ValueError(f"batches file: unknown {sorted(unknown)}")
    counts = {name: _count(found, name) for name in _COUNTS & found.keys()}
    spans = {name: _span(found, name) for name in _SPANS & found.keys()}
    beyond = spans.pop("beyond", None)
    if "share" in found or beyond is not None:
        share = found.get("share")
        if not isinstance(share, float) or not 0 < share < 0.5 or beyond is None:
            raise ValueError("batches file: share is a number between 0 and 0.5, beside beyond")
        if not spans.get("median") or beyond <= spans["median"]:
            raise ValueError("batches file: beyond is longer than median")
        spread = math.log(beyond / spans["median"]) / NormalDist().inv_cdf(1 - share)
        spans["spread"] = spread
    clock = path.parent / found["clock"] if "clock" in found else None
    return Terms(**counts, **spans, clock=clock)  # type: ignore[arg-type]


def _count(found: Json, name: str) -> int:
    value = found[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < (name != "seed"):
        raise ValueError(f"batches file: {name} is not a whole number from 1 up")
    return value


def _span(found: Json, name: str) -> float:
    value: Any = found[name]
    told = re.fullmatch(r"(\d+)([smh])", value) if isinstance(value, str) else None
    if told is None:
        raise ValueError(f'batches file: {name} is written like "30s", "10m" or "20h"')
    return float(int(told[1]) * _UNITS[told[2]])
