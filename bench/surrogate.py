"""The bench of surrogates: coverage and agreement on a ticket queue at certified promises."""

import argparse
import csv
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean, median

from bench.texts.foreign import foreign
from tierqueue.router.learned.certify import NoCertificate
from tierqueue.router.learned.embedding import Embedding
from tierqueue.router.learned.surrogate import Guarantee, Surrogate
from tierqueue.router.learned.surrogate_training import (
    SurrogateScope,
    TrainingAnswer,
    TrainingResult,
    calibrate,
    train,
    written,
)
from tierqueue.tasks.routing.surrogates import embedding_in

SIZES = (500, 1_500, 5_000, None)
"""Accepted answers; ``None`` is all."""

PROMISED = (0.90, 0.93, 0.95, 0.98)
DELTA = 0.05
"""Half of what is allowed: the texts that come later are never quite like those that certify."""

MISTAKEN = 0.02
SPLITS, DRAWN, TIMED = 50, 0.9, 500
VIOLATIONS_AT = 0.95
PURPOSE = SurrogateScope("bench", "text", "")


@dataclass(frozen=True, slots=True)
class Measured:
    """Shares of unseen texts: answered; of these, as the teacher says; of these, truly right."""

    coverage: float
    agreement: float
    right: float


def tickets(file: Path) -> list[TrainingAnswer]:
    """The tickets of a file, with the labels that people gave them."""
    with file.open(encoding="utf-8", newline="") as opened:
        return [TrainingAnswer(row["text"], row["category"]) for row in csv.DictReader(opened)]


def taught(answers: Sequence[TrainingAnswer]) -> list[TrainingAnswer]:
    """What a teacher says that is wrong in 2 of 100, by a hash of the text."""
    labels = sorted({answer.label for answer in answers})
    said = []
    for answer in answers:
        digest = hashlib.sha256(f"teacher:{answer.text}".encode()).digest()
        wrong = int.from_bytes(digest[:4]) / 2**32 < MISTAKEN
        others = [label for label in labels if label != answer.label]
        other = others[int.from_bytes(digest[4:8]) % len(others)]
        said.append(TrainingAnswer(answer.text, other if wrong else answer.label))
    return said


def certified(trained: TrainingResult, promised: float) -> Surrogate | NoCertificate:
    """The surrogate as it is shipped: written, and read again by its hash."""
    found = calibrate(trained, Guarantee(round(1 - promised, 6), DELTA))
    if isinstance(found, NoCertificate):
        return found
    meaning = trained.linear.meaning
    embedding = None if meaning is None else meaning.embedding
    return Surrogate.load(written(trained.linear, PURPOSE, found), embedding=embedding)


def measured(
    surrogate: Surrogate, said: Sequence[TrainingAnswer], true: Sequence[TrainingAnswer]
) -> Measured:
    """Coverage and agreement over all of ``said``, the teacher's answers."""
    found = [surrogate.answer(answer.text) for answer in said]
    kept = [
        (guess.label == theirs.label, guess.label == own.label)
        for guess, theirs, own in zip(found, said, true, strict=True)
        if guess is not None
    ]
    if not kept:
        return Measured(0.0, 1.0, 1.0)
    return Measured(len(kept) / len(said), mean(a for a, _ in kept), mean(r for _, r in kept))


def table(
    train_rows: Sequence[TrainingAnswer],
    said: Sequence[TrainingAnswer],
    true: Sequence[TrainingAnswer],
    embedding: Embedding | None = None,
) -> Mapping[str, Mapping[str, object]]:
    """Size of the training set -> promise -> what came of it, or why it was not certified."""
    lines: dict[str, dict[str, object]] = {}
    mixed = list(train_rows)
    Random(0).shuffle(mixed)
    for size in SIZES:
        trained = train(mixed[:size], embedding=embedding)
        line = lines.setdefault(str(size or len(mixed)), {})
        for promised in PROMISED:
            surrogate = (
                trained if isinstance(trained, NoCertificate) else certified(trained, promised)
            )
            if isinstance(surrogate, NoCertificate):
                line[f"{promised:.2f}"] = f"cannot be certified: {surrogate.why}"
                continue
            got = measured(surrogate, said, true)
            line[f"{promised:.2f}"] = [
                round(figure, 4) for figure in (got.coverage, got.agreement, got.right)
            ]
        print(size, json.dumps(line), file=sys.stderr, flush=True)
    return lines


def broken(
    rows: Sequence[TrainingAnswer],
    test: Sequence[TrainingAnswer],
    splits: int,
    embedding: Embedding | None = None,
) -> Mapping[str, float]:
    """How often a promise of .95 is broken on the test's tickets, over draws of the answers."""
    found, covered = [], []
    for seed in range(splits):
        some = Random(seed).sample(list(rows), round(len(rows) * DRAWN))
        trained = train(some, seed, embedding)
        surrogate = (
            trained if isinstance(trained, NoCertificate) else certified(trained, VIOLATIONS_AT)
        )
        if isinstance(surrogate, NoCertificate):
            found.append(False)
            covered.append(0.0)
            continue
        got = measured(surrogate, test, test)
        found.append(got.agreement < VIOLATIONS_AT)
        covered.append(got.coverage)
    return {"violations": round(mean(found), 4), "mean_coverage_95": round(mean(covered), 4)}


def leaks(surrogate: Surrogate) -> dict[str, float]:
    """Share of foreign texts that it answers, by what they are about, and over all."""
    answered = {
        about: [surrogate.answer(content) is not None for content in texts]
        for about, texts in foreign().items()
    }
    everything = [answer for answers in answered.values() for answer in answers]
    shares = {about: round(mean(answers), 4) for about, answers in answered.items()}
    return shares | {"all": round(mean(everything), 4), "texts": len(everything)}


def microseconds(surrogate: Surrogate, test: Sequence[TrainingAnswer]) -> float:
    """The median time of an answer or a deferral."""
    took = []
    for answer in test[:TIMED]:
        began = time.perf_counter()
        surrogate.answer(answer.text)
        took.append(time.perf_counter() - began)
    return round(median(took) * 1e6, 1)


def main() -> None:
    """Print a line for each size to the error stream, and one JSON line at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="BANKING77: train.csv, test.csv")
    parser.add_argument("--quick", action="store_true", help="five splits instead of fifty")
    parser.add_argument("--embedding", help="a folder: its vectors beside the n-grams")
    asked = parser.parse_args()
    if not (asked.data / "train.csv").is_file():
        sys.exit(f"{asked.data} holds no train.csv: name BANKING77's folder with --data")
    rows, test = tickets(asked.data / "train.csv"), tickets(asked.data / "test.csv")
    embedding = None if asked.embedding is None else embedding_in(asked.embedding)
    exact = table(rows, test, test, embedding)
    noisy = table(taught(rows), taught(test), test, embedding)
    began = time.perf_counter()
    trained = train(rows, embedding=embedding)
    surrogate = trained if isinstance(trained, NoCertificate) else certified(trained, 0.95)
    seconds = time.perf_counter() - began
    if isinstance(trained, NoCertificate) or isinstance(surrogate, NoCertificate):
        sys.exit("a promise of .95 cannot be certified from these tickets")
    calibrated = calibrate(trained, Guarantee(0.05, DELTA))
    assert not isinstance(calibrated, NoCertificate)
    leak = leaks(surrogate)
    everything = str(len(rows))
    line = {
        "coverage_95": _coverage(exact[everything]["0.95"]),
        "coverage_93_noisy": _coverage(noisy[everything]["0.93"]),
        **broken(rows, test, 5 if asked.quick else SPLITS, embedding),
        "us_per_decision": microseconds(surrogate, test),
        "oos_leak": leak["all"],
        "leaks": leak,
        "seconds_to_train": round(seconds, 2),
        "bytes": len(written(trained.linear, PURPOSE, calibrated)),
        "delta": DELTA,
        "exact": exact,
        "noisy": noisy,
    }
    print(json.dumps(line))


def _coverage(found: object) -> float:
    return float(found[0]) if isinstance(found, list) else 0.0


if __name__ == "__main__":
    main()
