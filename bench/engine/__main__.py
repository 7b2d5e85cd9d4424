"""Items a second through the gpu tier, against the same engine with nothing around it."""

import argparse
import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.engine import documents, load, ours
from bench.engine.bare import Bare, Generated, bare
from bench.stage.system import DATABASES, ON_DISK, databases, run, say
from tools.system import System

Side = Bare | System

SEQS = (128, 256)
"""The offline engine runs with each of these ``max_num_seqs``; the faster is the baseline."""

LENGTHS = (32, 128)
"""Output tokens of an item."""


PRODUCERS = 256
"""How many wait for an item of their own at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often each side runs, with how many items at least, for how many seconds at least."""

    rounds: int
    items: int
    seconds: float


FULL = Plan(rounds=3, items=2_048, seconds=20.0)
QUICK = Plan(rounds=1, items=1_024, seconds=4.0)


@dataclass(frozen=True, slots=True)
class Model:
    """What is served: a folder or an id, its window in tokens, and options of its engine."""

    folder: Path
    name: str
    given: bool
    window: int
    options: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, given: str | None) -> "Model":
        """The model that was given, or a tiny one made for this run."""
        if given is not None:
            return cls(folder, given, True, 8192, {"max_model_len": 8192})
        from tests.tiny_model import make_tiny_model

        made = str(make_tiny_model(folder / "model"))
        small = {"max_model_len": 2048, "kv_cache_memory_bytes": 128 << 20}
        return cls(folder, made, False, 2048, small)

    def policy(self, options: dict[str, Any]) -> Path:
        """A policy that has it served with these options beside its own."""
        stated = {**self.options, **options}
        path = self.folder / f"policy-{'-'.join(map(str, stated.values()))}.toml"
        tokenizer = Path(self.name) / "tokenizer.json"
        counted = str(tokenizer) if tokenizer.exists() else None
        text = ours.policy_text(self.name, stated, self.window, counted)
        path.write_text(text, encoding="utf-8")
        return path


def main() -> None:
    """Print one JSON line; see ``docs/speed.md``."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", choices=DATABASES, help="one of the two databases")
    parser.add_argument("--model", help="a Hugging Face id or folder; else a tiny one is made")
    parser.add_argument("--documents", type=Path, help="a folder with QMSum's .jsonl files")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    os.environ.setdefault("TIERQUEUE_IMPORTS", load.__name__)
    with tempfile.TemporaryDirectory(prefix="tierqueue-bench-", dir=ON_DISK) as name:
        print(json.dumps(_measured(Path(name), plan, arguments)))


def _measured(folder: Path, plan: Plan, asked: argparse.Namespace) -> dict[str, Any]:
    kinds = DATABASES if asked.only is None else (asked.only,)
    model = Model.read(folder, asked.model)
    found: dict[str, Any] = {"model": asked.model or "tiny, made here", "cores": os.cpu_count()}
    with databases(folder) as stores:
        with ExitStack() as stack:
            sides: dict[str, Side] = {}
            for seqs in SEQS:
                policy = model.policy({"max_num_seqs": seqs})
                sides[f"offline{seqs}"] = stack.enter_context(bare("offline", policy, seqs, folder))
            sides["async"] = stack.enter_context(bare("async", policy, SEQS[-1], folder))
            for kind in kinds:
                started = ours.system(folder / kind, stores.url(kind), policy)
                sides[kind] = stack.enter_context(started)
            say(f"booted: {', '.join(sides)}")
            for length in LENGTHS:
                found[str(length)] = _compared(sides, kinds, length, plan)
        if asked.documents is not None:
            url = stores.url(kinds[0])
            found["documents"] = _documents(folder, url, model, asked.documents, plan)
    found["load_average"] = round(os.getloadavg()[0], 1)
    return found


def _compared(
    sides: dict[str, Side], kinds: tuple[str, ...], length: int, plan: Plan
) -> dict[str, Any]:
    """All sides in turn, each round in the other order; medians."""
    rates: dict[str, list[float]] = {}
    running: list[ours.Run] = []

    def note(side: str, items: int, seconds: float) -> None:
        rates.setdefault(side, []).append(items / seconds)
        load1 = os.getloadavg()[0]
        say(f"{length:4} {side:18} {items / seconds:7.1f}/s {seconds:6.1f} s load {load1:.1f}")

    for name, side in sides.items():
        _seconds(side, f"{length}-warming", load.rows(64, length, f"warming {name}"))
    count = max(plan.items, _enough(sides, length, plan))
    for turn in range(plan.rounds):
        for name in list(sides) if turn % 2 else list(reversed(sides)):
            done = _seconds(sides[name], f"{length}-{turn}", load.rows(count, length, f"{turn}"))
            note(name, count, done.seconds)
            if isinstance(done, ours.Run):
                running.append(done)
                note(f"{name} online", *_online(sides[name], length, turn, count))
    offline = max(median(rates[f"offline{seqs}"]) for seqs in SEQS)
    worker = {kind: median(rates[kind]) for kind in kinds}
    online = {kind: median(rates[f"{kind} online"]) for kind in kinds}
    return {
        "items": count,
        "offline_items_per_s": round(offline, 1),
        "async_items_per_s": round(median(rates["async"]), 1),
        "worker_items_per_s": {kind: round(rate, 1) for kind, rate in worker.items()},
        "ratio": {kind: round(rate / offline, 3) for kind, rate in worker.items()},
        "online_ratio": {kind: round(rate / offline, 3) for kind, rate in online.items()},
        "mean_running": round(median(run.mean_running for run in running), 1),
        "peak_running": max(run.peak_running for run in running),
        "prefix_hit_rate": round(median(run.hit_rate for run in running), 3),
    }


def _seconds(side: Side, name: str, rows: list[dict[str, Any]]) -> ours.Run | Generated:
    return side.run(rows) if isinstance(side, Bare) else ours.run_job(side, name, rows)


def _online(side: Side, length: int, turn: int, count: int) -> tuple[int, float]:
    """How many items, and in how many seconds, by producers who each wait for their own."""
    assert not isinstance(side, Bare)
    each = max(2, count // PRODUCERS // 4)
    told = run(
        "bench.engine.online",
        *(PRODUCERS, each, length, f"online {turn}"),
        environ=side.environ,
        timeout=ours.PATIENCE_SECONDS,
    )
    return PRODUCERS * each, told["seconds"]


def _enough(sides: dict[str, Side], length: int, plan: Plan) -> int:
    """So many items that the fastest side takes long enough."""
    rows = load.rows(512, length, "sizing")
    fastest = min(side.run(rows).seconds for side in sides.values() if isinstance(side, Bare))
    return round(512 * plan.seconds / fastest * 1.1)


def _documents(folder: Path, url: str, model: Model, path: Path, plan: Plan) -> dict[str, Any]:
    """Documents' questions handed in by turns: bare, bare and sorted by hand, and through us.

    The key-value cache of a tiny model is made too small for all documents.
    """
    small = {} if model.given else {"kv_cache_memory_bytes": 16 << 20}
    policy = model.policy({"max_num_seqs": SEQS[0], **small})
    by_turns: list[Generated] = []
    sorted_by_hand: list[Generated] = []
    worker: list[ours.Run] = []
    with (
        bare("async", policy, SEQS[0], folder) as engine,
        ours.system(folder / "documents", url, policy) as system,
    ):
        for turn in range(plan.rounds):

            def made(salt: str, turn: int = turn) -> list[dict[str, Any]]:
                return documents.rows(path, model.window, LENGTHS[0], f"{salt}{turn}")

            by_turns.append(engine.run(made("turns")))
            sorted_by_hand.append(engine.run(documents.grouped(made("sorted"))))
            worker.append(ours.run_job(system, f"documents{turn}", made("worker")))
            say(f"documents {by_turns[-1]} {sorted_by_hand[-1]} {worker[-1]}")
    apart = median(done.seconds for done in by_turns)
    return {
        "items": worker[0].items,
        "hit_rate_by_turns": round(median(done.hit_rate for done in by_turns), 3),
        "hit_rate_sorted": round(median(done.hit_rate for done in sorted_by_hand), 3),
        "hit_rate_worker": round(median(done.hit_rate for done in worker), 3),
        "saved_sorted": round(1 - median(done.seconds for done in sorted_by_hand) / apart, 3),
        "saved_worker": round(1 - median(done.seconds for done in worker) / apart, 3),
    }


if __name__ == "__main__":
    main()
