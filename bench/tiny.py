"""The bench of the tiny ticket model: accuracy by engine, and whether its margin tells it."""

import argparse
import asyncio
import csv
import hashlib
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from bench.texts import shifted
from examples.tiny_tickets import CONTEXT, GGUF, HUGGING_FACE, NAME
from tierqueue.router.outcome import Accepted, Completed
from tierqueue.router.policy.deployment import Deployment
from tierqueue.tasks.answers import form
from tierqueue.tasks.kinds.classify import classify
from tierqueue.tasks.submission.validation import validate
from tierqueue.workers.engines import build
from tierqueue.workers.engines.engine import Call, Engine
from tools.keeper import bound_to_parent

DECILES = 10
QUICK_ROWS = 400
KEPT = 0.89
"""Share of the tickets that the threshold keeps at which texts from outside are counted."""

IN_FLIGHT = {"llama_cpp": 16, "vllm": 64}
"""Calls at once: twice what llama.cpp's server works on, and what vLLM batches."""

PACKAGES = {"llama_cpp": "xllamacpp", "vllm": "vllm"}
INSTALLED_BY = {"llama_cpp": "make setup", "vllm": "make engine"}


@dataclass(frozen=True, slots=True)
class Ticket:
    """A text and the label that people gave it."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a ticket: whether the answer was valid and right, and its margin, 0 to 1."""

    valid: bool
    right: bool
    margin: float


def main() -> None:
    """Print a table for each engine and, last, one JSON line: accuracy, its deciles, items/s."""
    parser = argparse.ArgumentParser(prog="python -m bench.tiny", description=__doc__)
    parser.add_argument(
        "--test", type=Path, required=True, help="CSV with text and category: the test split"
    )
    parser.add_argument("--only", choices=PACKAGES, help="one of the two engines")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS} rows")
    parser.add_argument(
        "--shifted", action="store_true", help="also the tickets in other hands, and other texts"
    )
    arguments = parser.parse_args()
    tickets = read(arguments.test)
    labels = sorted({ticket.label for ticket in tickets})
    Random(1).shuffle(tickets)
    tickets = tickets[: QUICK_ROWS if arguments.quick else None]
    figures: dict[str, Any] = {
        "rows": len(tickets),
        "test_sha256": _digest(arguments.test),
        "weights_sha256": {
            "llama_cpp": _digest(GGUF),
            "vllm": _digest(HUGGING_FACE / "model.safetensors"),
        },
    }
    for engine in PACKAGES if arguments.only is None else (arguments.only,):
        if importlib.util.find_spec(PACKAGES[engine]) is None:
            why = f"{PACKAGES[engine]} is not installed: `{INSTALLED_BY[engine]}` installs it"
            say(f"{engine}: not measured, {why}")
            figures[engine] = {"missing": why}
            continue
        with deployed(engine) as deployment:
            figures[engine] = asyncio.run(
                _measured(engine, deployment, tickets, labels, arguments.shifted)
            )
    print(json.dumps(figures))


def read(path: Path) -> list[Ticket]:
    """The tickets of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return [Ticket(row["text"], row["category"]) for row in csv.DictReader(file)]


@contextmanager
def deployed(engine: str) -> Iterator[Deployment]:
    """The model as a deployment of the house, behind the engine of that name."""
    stated: dict[str, Any] = {
        "name": NAME,
        "policy": "bench",
        "tier": "gpu",
        "boundary": "house",
        "context_window": CONTEXT,
        "gpu_hour": "1",
    }
    if engine == "vllm":
        options = {"max_num_seqs": 64, "kv_cache_memory_bytes": 64 << 20}
        model = str(HUGGING_FACE)
        yield Deployment(**stated, engine="vllm", model=model, engine_options=options)
        return
    command = [sys.executable, "-m", "examples.tiny_tickets.serve"]
    server = bound_to_parent(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        yield Deployment(**stated, engine="openai", model=NAME, base_url=url, top_logprobs=20)
    finally:
        server.terminate()
        server.wait(30)


async def _measured(
    name: str,
    deployment: Deployment,
    tickets: Sequence[Ticket],
    labels: Sequence[str],
    shifts: bool,
) -> dict[str, Any]:
    engine = build(deployment, {})
    await engine.start()
    asking = Asking(engine, deployment, labels, IN_FLIGHT[name])
    try:
        await asking.judge(tickets[:32])  # what the first calls set up is not measured
        began = time.monotonic()
        judged = await asking.judge(tickets)
        seconds = time.monotonic() - began
        figures = {**summary(judged), "items_per_s": round(len(judged) / seconds, 1)}
        say(f"{name}: accuracy {figures['accuracy']:.3f}, {figures['items_per_s']} items/s")
        for line in table(judged):
            say(line)
        if shifts:
            figures["shifted"] = await _shifted(asking, tickets, judged)
    finally:
        await engine.close()
    return figures


async def _shifted(
    asking: "Asking", tickets: Sequence[Ticket], judged: Sequence[Judged]
) -> dict[str, float]:
    figures = {}
    for name, shift in shifted.SHIFTS.items():
        random = Random(name)
        changed = [Ticket(shift(ticket.text, random), ticket.label) for ticket in tickets]
        figures[name] = summary(await asking.judge(changed))["accuracy"]
        say(f"  {name:24} accuracy {figures[name]:.3f}")
    margins = sorted((one.margin for one in judged), reverse=True)
    threshold = margins[min(len(margins) - 1, round(KEPT * len(margins)))]
    for name, texts in shifted.OUTSIDE.items():
        answers = await asking.judge([Ticket(text, "") for text in texts])
        figures[name] = round(sum(one.margin >= threshold for one in answers) / len(answers), 4)
        say(f"  {name:24} answered  {figures[name]:.3f}, where {KEPT} of the tickets are")
    return figures


class Asking:
    """Asks an engine as ``classify`` does, some calls at once, and judges as a worker does."""

    def __init__(
        self, engine: Engine, deployment: Deployment, labels: Sequence[str], in_flight: int
    ) -> None:
        self._engine = engine
        self._deployment = deployment
        self._labels = list(labels)
        self._turns = asyncio.Semaphore(in_flight)
        self._asked = 0

    async def judge(self, tickets: Sequence[Ticket]) -> list[Judged]:
        """Each ticket's answer, judged, in the same order."""
        return list(await asyncio.gather(*(self._judge(ticket) for ticket in tickets)))

    async def _judge(self, ticket: Ticket) -> Judged:
        arguments = {"text": ticket.text, "labels": self._labels}
        async with self._turns:
            reply = await self._engine.complete(self._call(arguments))
        if not isinstance(reply, Completed):
            raise RuntimeError(f"the engine answered {reply}")
        outcome = validate(classify, arguments, reply)
        if not isinstance(outcome, Accepted):
            return Judged(valid=False, right=False, margin=0.0)
        right = outcome.output["label"] == ticket.label
        return Judged(valid=True, right=right, margin=outcome.output["confidence"] or 0.0)

    def _call(self, arguments: Mapping[str, Any]) -> Call:
        self._asked += 1
        prompt = classify.prompt(arguments)
        asked = form.asked_of(self._deployment, classify.output_model(arguments))
        return Call(
            item=f"ticket-{self._asked}",
            fence=1,
            model=self._deployment.model,
            system=prompt.system,
            prefix=prompt.prefix,
            question=prompt.question,
            schema=asked.schema,
            schema_name=asked.name,
            alternatives=20,
            output_limit=64,
            timeout=60.0,
        )


def summary(judged: Sequence[Judged]) -> dict[str, Any]:
    """Accuracy, an invalid answer being a wrong one, and by decile of margin, lowest first."""
    return {
        "accuracy": round(sum(one.right for one in judged) / len(judged), 4),
        "valid": round(sum(one.valid for one in judged) / len(judged), 4),
        "accuracy_by_decile": [
            round(sum(one.right for one in part) / len(part), 3) for part in deciles(judged)
        ],
    }


def deciles(judged: Sequence[Judged]) -> list[list[Judged]]:
    """Ten parts of one size, by margin, the lowest first; fewer where there are not ten."""
    ordered = sorted(judged, key=lambda one: one.margin)
    cuts = [round(len(ordered) * part / DECILES) for part in range(DECILES + 1)]
    parts = [ordered[low:high] for low, high in pairwise(cuts)]
    return [part for part in parts if part]


def table(judged: Sequence[Judged]) -> Iterator[str]:
    """The deciles as a person reads them."""
    yield "  decile       margin  tickets  right"
    for number, part in enumerate(deciles(judged), 1):
        right = sum(one.right for one in part) / len(part)
        low, high = part[0].margin, part[-1].margin
        yield f"  {number:6}  {low:.3f}-{high:.3f}  {len(part):7}  {right:.3f}"


def say(text: str) -> None:
    """One line for the person who watches; standard output is the JSON line's."""
    print(text, file=sys.stderr, flush=True)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
