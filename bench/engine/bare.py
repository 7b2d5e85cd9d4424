"""The other side of ``bench.engine.raw``: engines with nothing around them, booted."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.keeper import bound_to_parent


@dataclass(frozen=True, slots=True)
class Generated:
    """What one run took: seconds, and the share of input tokens that the prefix cache served."""

    seconds: float
    hit_rate: float


class Bare:
    """An engine with nothing around it, booted; see ``bench.engine.raw``."""

    def __init__(self, kind: str, policy: Path, seqs: int, log: Path) -> None:
        self._log = log
        self._process = bound_to_parent(
            subprocess.Popen(
                [sys.executable, "-m", "bench.engine.raw", kind, str(policy), str(seqs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log.open("wb"),
                text=True,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        )
        self._read()

    def run(self, rows: list[dict[str, Any]]) -> Generated:
        """Generate for all rows at once, in their order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"rows": rows}) + "\n")
        self._process.stdin.flush()
        told = self._read()
        expected = sum(row["tokens"] for row in rows)
        assert told["tokens"] == expected, (told, expected)
        return Generated(told["seconds"], told["cached"] / told["input"])

    def _read(self) -> Any:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"the engine ended:\n{self._log.read_text()[-3000:]}")

    def end(self) -> None:
        """End it, and an engine core of its own with it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(60)


@contextmanager
def bare(kind: str, policy: Path, seqs: int, folder: Path) -> Iterator[Bare]:
    """A booted engine of this kind, ended afterwards."""
    engine = Bare(kind, policy, seqs, folder / f"{kind}{seqs}.log")
    try:
        yield engine
    finally:
        engine.end()
