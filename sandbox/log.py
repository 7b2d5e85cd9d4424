"""The provider's own books: one JSON line a call, appended before the reply is sent.

Each line is a single write to a file opened for appending, so that killing the process loses no
line whose reply may have left. The prompt is never written, only its SHA-256.
"""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.wires.call import TOKEN_RULE, Json, Usage

NO_MODEL = "(none)"
_SUMS = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nanousd",
)


NOTHING = Usage()


@dataclass(slots=True)
class Entry:
    """A call as the log will tell it. ``status`` is the HTTP status sent, 0 where no reply was.

    ``started`` and ``ended`` are epoch seconds. ``item``, ``fence`` and ``attempt`` are the
    ``x-tierqueue-*`` request headers, as they came; of a request in a ``batch`` its custom id is
    the item. ``tier``: the service tier that served it.
    """

    api: str
    started: float
    item: str | None = None
    fence: str | None = None
    attempt: str | None = None
    model: str | None = None
    prompt_sha256: str | None = None
    status: int = 0
    fault: str | None = None
    usage: Usage = NOTHING
    cost_nanousd: int = 0
    max_in_flight: int = 0
    batch: bool = False
    tier: str | None = None


class Log:
    """The open log. A log that is in use or damaged is refused with ``ValueError``."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise ValueError(f"{path} is written by another sandbox") from None
        self.seq = 0
        self._models: dict[str, Json] = {}
        self._resume(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def write(self, entry: Entry, ended: float) -> int:
        """Append the call's line and return its ``seq``, counted from 1 without gaps."""
        usage = entry.usage
        self.seq += 1
        line: Json = {
            "seq": self.seq,
            "started": round(entry.started, 6),
            "ended": round(ended, 6),
            "api": entry.api,
            "model": entry.model,
            "status": entry.status,
            "fault": entry.fault,
            "prompt_sha256": entry.prompt_sha256,
            "item": entry.item,
            "fence": entry.fence,
            "attempt": entry.attempt,
            "input_tokens": usage.input,
            "cached_tokens": usage.cached,
            "cache_write_tokens": usage.written + usage.written_1h,
            "cache_write_1h_tokens": usage.written_1h,
            "output_tokens": usage.output,
            "reasoning_tokens": usage.reasoning,
            "cost_nanousd": entry.cost_nanousd,
            "max_in_flight": entry.max_in_flight,
            "batch": entry.batch,
            "service_tier": entry.tier,
            "token_rule": TOKEN_RULE,
            "simulated": True,
        }
        text = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if os.write(self._file, text) != len(text):
            raise OSError("the log could not be written whole: the disk may be full")
        self._count(line)
        return self.seq

    def summary(self) -> Json:
        """Totals by model since the log began, and over all of them."""
        total = _empty()
        for counted in self._models.values():
            for name, value in counted.items():
                total[name] = (max if name == "max_in_flight" else _add)(total[name], value)
        return {"simulated": True, "token_rule": TOKEN_RULE, "total": total, "models": self._models}

    def max_in_flight(self, model: str) -> int:
        """The most calls of this model that were ever in flight, as far as the log says."""
        return int(self._models.get(model, _empty())["max_in_flight"])

    def _resume(self, path: Path) -> None:
        for at, text in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
            try:
                line = json.loads(text)
                self._count(line)
                whole = text.endswith(b"\n") and line["seq"] == at
            except (ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                os.close(self._file)
                raise ValueError(f"{path}: line {at} is not one of a sandbox log")
            self.seq = at

    def _count(self, line: Json) -> None:
        counted = self._models.setdefault(line["model"] or NO_MODEL, _empty())
        counted["calls"] += 1
        counted["throttled"] += line["status"] == 429
        counted["served"] += line["output_tokens"] > 0
        for name in _SUMS:
            counted[name] += line[name]
        counted["max_in_flight"] = max(counted["max_in_flight"], line["max_in_flight"])


def _empty() -> Json:
    return dict.fromkeys(("calls", "served", "throttled", *_SUMS, "max_in_flight"), 0)


def _add(one: int, other: int) -> int:
    return one + other
