"""Items a second through the gpu tier, against the same engine with nothing around it."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.engine import load, ours
from bench.stage import DATABASES, ON_DISK, databases, say

SEQS = (128, 256)
"""The offline engine runs with each of these ``max_num_seqs``; the faster is the baseline."""

LENGTHS = (32, 128)
"""Output tokens of an item."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often each side runs, with how many items at least, for how many seconds at least."""

    rounds: int
    items: int
    seconds: float


FULL = Plan(rounds=3, items=2_048, seconds=20.0)
QUICK = Plan(rounds=1, items=512, seconds=0.0)


class Raw:
    """An engine with nothing around it, booted; see ``bench.engine.raw``."""

    def __init__(self, kind: str, policy: Path, seqs: int, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.engine.raw", kind, str(policy), str(seqs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("wb"),
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._read()

    def seconds(self, rows: list[dict[str, Any]]) -> float:
        """Generate for all rows; returns the seconds it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"rows": rows}) + "\n")
        self._process.stdin.flush()
        told = self._read()
        expected = sum(row["tokens"] for row in rows)
        assert told["tokens"] == expected, (told, expected)
        return float(told["seconds"])

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
def raw(kind: str, policy: Path, seqs: int, folder: Path) -> Iterator[Raw]:
    """A booted engine of this kind, ended afterwards."""
    engine = Raw(kind, policy, seqs, folder / f"{kind}{seqs}.log")
    try:
        yield engine
    finally:
        engine.end()


def main() -> None:
    """Print one JSON line; see ``docs/speed.md``."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", choices=DATABASES, help="one of the two databases")
    parser.add_argument("--model", help="a Hugging Face id or folder; else a tiny one is made")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    kinds = DATABASES if arguments.only is None else (arguments.only,)
    os.environ.setdefault("TIERQUEUE_IMPORTS", load.__name__)
    with tempfile.TemporaryDirectory(prefix="tierqueue-bench-", dir=ON_DISK) as name:
        print(json.dumps(_measured(Path(name), plan, kinds, arguments.model)))


def _measured(folder: Path, plan: Plan, kinds: tuple[str, ...], model: str | None) -> Any:
    policy = _policy(folder, model)
    rates: dict[str, dict[str, list[float]]] = {str(length): {} for length in LENGTHS}
    with ExitStack() as stack:
        stores = stack.enter_context(databases(folder))
        sides: dict[str, Any] = {
            f"offline{seqs}": stack.enter_context(raw("offline", policy(seqs), seqs, folder))
            for seqs in SEQS
        }
        sides["async"] = stack.enter_context(raw("async", policy(SEQS[-1]), SEQS[-1], folder))
        for kind in kinds:
            started = ours.system(folder / kind, stores.url(kind), policy(SEQS[-1]))
            sides[kind] = stack.enter_context(started)
        say(f"booted: {', '.join(sides)}")
        for length in LENGTHS:
            count = plan.items
            for turn in range(-1, plan.rounds):
                order = list(sides) if turn % 2 else list(reversed(sides))
                for side in order:
                    warming = turn < 0
                    rows = load.rows(64 if warming else count, length, f"{side}{turn}")
                    seconds = _run(sides[side], f"{side}{length}.{turn}", rows)
                    if not warming:
                        rate = len(rows) / seconds
                        rates[str(length)].setdefault(side, []).append(rate)
                        load1 = os.getloadavg()[0]
                        say(f"{length:4} {side:12} {rate:7.1f}/s {seconds:6.1f} s load {load1:.1f}")
                if turn < 0 and plan.seconds:
                    count = max(count, _enough(sides, length, plan))
    return {length: _summary(found, kinds) for length, found in rates.items()}


def _run(side: Any, name: str, rows: list[dict[str, Any]]) -> float:
    if isinstance(side, Raw):
        return side.seconds(rows)
    return ours.run_job(side, name, rows).seconds


def _enough(sides: dict[str, Any], length: int, plan: Plan) -> int:
    """So many items that the fastest side takes long enough."""
    rows = load.rows(512, length, "sizing")
    fastest = min(side.seconds(rows) for side in sides.values() if isinstance(side, Raw))
    return round(512 * plan.seconds / fastest * 1.1)


def _policy(folder: Path, model: str | None) -> Any:
    if model is None:
        from tests.tiny_model import make_tiny_model

        model = str(make_tiny_model(folder / "model"))
    small = {"max_model_len": 2048, "kv_cache_memory_bytes": 128 << 20}

    def written(seqs: int) -> Path:
        path = folder / f"policy{seqs}.toml"
        text = ours.deployment_of(
            model, {**small, "max_num_seqs": seqs}, 2048, f"{model}/tokenizer.json"
        )
        path.write_text(text, encoding="utf-8")
        return path

    return written


def _summary(rates: dict[str, list[float]], kinds: tuple[str, ...]) -> dict[str, Any]:
    offline = max(median(rates[f"offline{seqs}"]) for seqs in SEQS)
    worker = {kind: median(rates[kind]) for kind in kinds}
    return {
        "offline_items_per_s": round(offline, 1),
        "async_items_per_s": round(median(rates["async"]), 1),
        "worker_items_per_s": {kind: round(rate, 1) for kind, rate in worker.items()},
        "ratio": {kind: round(rate / offline, 3) for kind, rate in worker.items()},
    }


if __name__ == "__main__":
    main()
