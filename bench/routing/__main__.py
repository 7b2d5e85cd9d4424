"""The gain predictor's spending of the strong model's calls, beside what a few lines reach."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean, median, pstdev

from bench.routing.baselines import BASELINES
from bench.routing.tables import figures, gsm8k, mmlu
from bench.texts import shifted
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.item import Demands, Risk, Sensitivity, Tier, WorkItem
from tierqueue.router.learned.certify import Certificate, certify, over_all
from tierqueue.router.learned.gain import Gain
from tierqueue.router.learned.gain_training import LabelledPair, train
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.signals import Prediction, measure

ALPHA, DELTA, CALIBRATION = 0.05, 0.10, 1_000
GRID = [share / 40 for share in range(1, 41)]
"""Shares of the training rows that the thresholds keep on the cheap tier."""

TIMED, BATCH = 2_048, 64
"""Decisions that are timed, and how many items a predictor is asked for at once."""

FLIPPED = 400
SPLITS_A_MODEL = 20


@dataclass(frozen=True, slots=True)
class Split:
    """A predictor trained on some rows, and all the others with what it says of them."""

    predictor: Gain
    train: Sequence[LabelledPair]
    test: Sequence[LabelledPair]
    scores: Sequence[float]


def split(rows: Sequence[LabelledPair], labels: int, seed: int) -> Split:
    """Labels drawn at random from all rows; the test rows are all the others."""
    mixed = list(rows)
    Random(seed).shuffle(mixed)
    known, test = mixed[:labels], mixed[labels:]
    predictor = Gain.load(train(known))
    scores = predicted(predictor, test)
    return Split(predictor, known, test, scores)


def predicted(predictor: Gain, rows: Sequence[LabelledPair]) -> list[float]:
    """The gain of each row, as the routing stage asks for a batch."""
    by_task: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        by_task.setdefault(row.task, []).append(at)
    found = [0.0] * len(rows)
    for task, places in by_task.items():
        said = predictor.chances(task, [rows[at].prompt for at in places])
        for at, one in zip(places, said, strict=True):
            found[at] = one.gain
    return found


Table = dict[str, dict[str, list[float]]]
"""Method -> figure -> mean and deviation."""


def judged(splits: Sequence[Split]) -> Table:
    """Mean and deviation over the seeds, ours and every baseline's."""
    table: dict[str, list[dict[str, float]]] = {"gain": []}
    for seed, made in enumerate(splits):
        table["gain"].append(figures(made.scores, made.test))
        for name, baseline in BASELINES.items():
            scores = baseline(made.train, made.test, seed)
            table.setdefault(name, []).append(figures(scores, made.test))
    return {
        name: {
            key: [round(mean(found), 4), round(pstdev(found), 4)]
            for key in runs[0]
            if (found := [run[key] for run in runs])
        }
        for name, runs in table.items()
    }


def threshold(made: Split, random: Random) -> tuple[float | None, float, float]:
    """A certified threshold from 1,000 labels, the harm it does to the others, and strong calls."""
    known = sorted(predicted(made.predictor, made.train))
    thresholds = [-known[round(share * len(known)) - 1] for share in GRID]
    order = list(range(len(made.test)))
    random.shuffle(order)
    calibration, rest = order[:CALIBRATION], order[CALIBRATION:]
    keeps = [-score for score in made.scores]
    harmed = [row.gain > 0 for row in made.test]
    trials = over_all(
        [keeps[at] for at in calibration], [harmed[at] for at in calibration], thresholds
    )
    found = certify(trials, ALPHA, DELTA)
    if not isinstance(found, Certificate):
        return None, 0.0, 1.0
    kept = [at for at in rest if keeps[at] >= found.threshold]
    return found.threshold, sum(harmed[at] for at in kept) / len(rest), 1 - len(kept) / len(rest)


def violations(splits: Sequence[Split]) -> dict[str, float]:
    """How often the harm is above alpha, over many draws of the labels that certify."""
    random = Random(1)
    found = [threshold(made, random) for made in splits for _ in range(SPLITS_A_MODEL)]
    return {
        "splits": len(found),
        "rate": round(mean(harm > ALPHA for _, harm, _ in found), 4),
        "certified": round(mean(at is not None for at, _, _ in found), 4),
        "strong_calls": round(mean(strong for _, _, strong in found), 4),
    }


def flips(made: Split) -> Mapping[str, float]:
    """Share of items whose tier changes when the same item is written by other hands."""
    at, _, _ = threshold(made, Random(2))
    limit = 0.0 if at is None else -at
    random = Random(3)
    asked = random.sample(list(made.test), min(FLIPPED, len(made.test)))
    changed: dict[str, list[bool]] = {name: [] for name in shifted.SHIFTS}
    for row in asked:
        before = made.predictor.predict(row.task, row.prompt) > limit
        for name, shift in shifted.SHIFTS.items():
            after = made.predictor.predict(row.task, shift(row.prompt, random)) > limit
            changed[name].append(after != before)
    return {name: round(mean(found), 4) for name, found in changed.items()}


POLICY = """
[deployments.house]
tier = "gpu"
engine = "openai"
model = "small"
base_url = "http://127.0.0.1:8000/v1"
boundary = "house"
context_window = 32768
gpu_hour = "2.00"

[deployments.best]
tier = "frontier"
engine = "openai"
model = "large"
base_url = "https://models.example/v1"
key_env = "BENCH_API_KEY"
boundary = "vendor:example"
context_window = 200000
prices = { input = "3.00", output = "15.00" }
"""


def decide(row: LabelledPair, policy: Policy, said: Prediction | None) -> None:
    """The routing decision as the routing stage takes it, walls and prices and all."""
    demands = Demands(risk=Risk.INTERNAL, sensitivity=Sensitivity.PUBLIC, floor=Tier.GPU)
    size = len(row.prompt.encode())
    item = WorkItem(id="i", task=row.task, demands=demands, prompt_bytes=size, output_limit=64)
    choose(item, measure(item, {}, said), policy, Conditions(now=0))


def microseconds(made: Split) -> dict[str, float]:
    """The median time that a decision takes of a core, without the predictor and with it.

    The routing stage asks the predictor for a batch of items; each item's part of that counts.
    """
    policy = parse_policy(POLICY, "bench")
    took: dict[str, list[float]] = {"without": [], "with": []}
    # Domains are one task type here: a queue has few, and many items of each.
    batches = [made.test[at : at + BATCH] for at in range(0, TIMED, BATCH)]
    for batch in batches:
        for row in batch:
            began = time.thread_time()
            decide(row, policy, None)
            took["without"].append(time.thread_time() - began)
        began = time.thread_time()
        said = made.predictor.predicted(batch[0].task, [row.prompt for row in batch], None)
        each = (time.thread_time() - began) / len(batch)
        for row, one in zip(batch, said, strict=True):
            began = time.thread_time()
            decide(row, policy, one)
            took["with"].append(time.thread_time() - began + each)
    return {name: round(median(found) * 1e6, 1) for name, found in took.items()}


def main() -> None:
    """Print a table to the error stream and one JSON line at the end."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.routing")
    parser.add_argument("--data", type=Path, required=True, help="RouteLLM's tables")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="two seeds, and no 7,000 labels")
    asked = parser.parse_args()
    if not (asked.data / "mmlu").is_dir():
        sys.exit(f"{asked.data} holds no folder mmlu: name RouteLLM's tables with --data")
    seeds = range(2 if asked.quick else asked.seeds)
    questions, sums = mmlu(asked.data), gsm8k(asked.data)
    runs = {("mmlu", 1_500): questions, ("mmlu", 7_000): questions, ("gsm8k", 650): sums}
    if asked.quick:
        del runs["mmlu", 7_000]
    line: dict[str, dict[str, float | Table]] = {"mmlu": {}, "gsm8k": {}}
    found: dict[str, Mapping[str, float]] = {}
    for (name, labels), rows in runs.items():
        splits = [split(rows, labels, seed) for seed in seeds]
        table = judged(splits)
        line[name][f"apgr_{labels}"] = table["gain"]["apgr"][0]
        line[name][f"table_{labels}"] = table
        print(name, labels, json.dumps(table), file=sys.stderr, flush=True)
        if (name, labels) == ("mmlu", 1_500):
            found["violations"] = violations(splits)
            found["flips"] = flips(splits[0])
            found["microseconds"] = microseconds(splits[0])
    rate = {"flip_rate": round(mean(found["flips"].values()), 4)}
    print(json.dumps({**line, **found, **rate}))


if __name__ == "__main__":
    main()
