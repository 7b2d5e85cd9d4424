"""Recorded outcomes of the ladder's real tiers on BANKING77's test tickets, kept as data.

``python -m bench.ladder --record --train train.csv --test test.csv`` writes it: the tiny ticket
model by llama.cpp, and a surrogate trained from the training tickets and certified at .95.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.surrogate import certified, tickets
from bench.tiny import IN_FLIGHT, Asking, deployed, read
from tierqueue.router.learned.certify import NoCertificate
from tierqueue.router.learned.surrogate_training import train
from tierqueue.tasks.kinds.classify import classify
from tierqueue.workers.engines import build

RECORDED = Path(__file__).with_name("tiny_tickets.csv")
PROMISED = 0.95
_COLUMNS = ("ticket", "right", "margin", "prompt_bytes", "surrogate")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The small model's answer to one ticket: whether it is right, and its margin, 0 to 1.

    ``surrogate``: whether the surrogate's answer is right; ``None``: it defers.
    """

    ticket: str
    right: bool
    margin: float
    prompt_bytes: int
    surrogate: bool | None = None


def load(path: Path) -> list[Outcome]:
    """The outcomes that were recorded."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Outcome(
                row["ticket"],
                row["right"] == "1",
                float(row["margin"]),
                int(row["prompt_bytes"]),
                {"1": True, "0": False}.get(row.get("surrogate") or ""),
            )
            for row in csv.DictReader(file)
        ]


def write(outcomes: Sequence[Outcome]) -> None:
    """Keep the outcomes; a ticket is named by the beginning of its text's SHA-256."""
    with RECORDED.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for one in outcomes:
            below = "" if one.surrogate is None else int(one.surrogate)
            rows.writerow([one.ticket, int(one.right), one.margin, one.prompt_bytes, below])


def below(train_file: Path, test: Path) -> Mapping[str, bool]:
    """Whether the surrogate is right on each ticket that it answers, by the ticket's name."""
    trained = train(tickets(train_file))
    surrogate = trained if isinstance(trained, NoCertificate) else certified(trained, PROMISED)
    if isinstance(surrogate, NoCertificate):
        raise SystemExit(f"{PROMISED} cannot be certified from {train_file}: {surrogate.why}")
    guesses = {one: surrogate.answer(one.text) for one in tickets(test)}
    return {named(one.text): g.label == one.label for one, g in guesses.items() if g is not None}


async def recorded(train_file: Path, test: Path) -> list[Outcome]:
    """Ask the surrogate, and the tiny model by llama.cpp, for every ticket of the split."""
    asked, found = read(test), below(train_file, test)
    labels = sorted({ticket.label for ticket in asked})
    with deployed("llama_cpp") as deployment:
        engine = build(deployment, {})
        await engine.start()
        try:
            asking = Asking(engine, deployment, labels, IN_FLIGHT["llama_cpp"])
            judged = await asking.judge(asked)
        finally:
            await engine.close()
    outcomes = []
    for ticket, answer in zip(asked, judged, strict=True):
        prompt = classify.prompt({"text": ticket.text, "labels": labels})
        size = len((prompt.system + prompt.prefix + prompt.question).encode())
        name = named(ticket.text)
        right, margin = answer.right, round(answer.margin, 4)
        outcomes.append(Outcome(name, right, margin, size, found.get(name)))
    return outcomes


def named(text: str) -> str:
    """A ticket by its text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
