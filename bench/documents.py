"""Long documents: questions to transcripts through a window that holds a part of one, and whole.

``--data`` is QMSum's ``val.jsonl``: 35 meetings of some 14,000 tokens, 272 questions. Each question
is asked twice: of the pieces, by a deployment with a window of 8,000 tokens, and in one long call
of the whole transcript. Both cost the same for a token. The provider is the sandbox, so every
answer is simulated and says nothing of how good answers are; what it quotes it takes from what it
was given, and what was called and paid is told by its own log.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery.exceptions import ChordError

from bench.stage.system import ON_DISK, say
from tierqueue.router.errors import TierqueueError
from tierqueue.tasks import ask, ask_document
from tierqueue.tasks.answers.quotations import place
from tools.system import System

WINDOW = 8_000
CHARACTERS = 6_000
"""Of a piece: without a tokenizer a byte counts as a token, and the answer's tokens count too."""

_POLICY = """
allow_simulated = true
default_sensitivity = "internal"

[deployments.window]
tier = "open_weight"
engine = "openai"
model = "frontier-mini"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = {window}
boundary = "vendor:opens"
simulated = true
prices = {{ input = "0.50", output = "2.00", cache_read = "0.05" }}

[deployments.whole]
tier = "frontier"
engine = "openai"
model = "frontier-mini-long"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = 200000
boundary = "vendor:opens"
simulated = true
prices = {{ input = "0.50", output = "2.00", cache_read = "0.05" }}
"""

_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Meeting:
    text: str
    questions: tuple[str, ...]


def main() -> None:
    """Print one JSON line: both ways, on SQLite."""
    parser = argparse.ArgumentParser(prog="python -m bench.documents", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="QMSum's val.jsonl")
    parser.add_argument("--quick", action="store_true", help="3 meetings, about a minute")
    arguments = parser.parse_args()
    if not arguments.data.is_file():
        parser.exit(2, f"{arguments.data} is not there: it is QMSum's val.jsonl\n")
    meetings = read(arguments.data)[: 3 if arguments.quick else None]
    told: dict[str, Any] = {
        "simulated": True,
        "meetings": len(meetings),
        "questions": sum(len(meeting.questions) for meeting in meetings),
        "window": WINDOW,
    }
    with tempfile.TemporaryDirectory(prefix="tierqueue-bench-", dir=ON_DISK) as name:
        told |= _measured(Path(name), meetings)
    print(json.dumps(told))


def read(path: Path) -> list[Meeting]:
    """The meetings of a file of QMSum's, a line a turn."""
    meetings = []
    for line in path.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        turns = (f"{turn['speaker']}: {turn['content']}" for turn in told["meeting_transcripts"])
        asked = [*told["general_query_list"], *told["specific_query_list"]]
        meetings.append(Meeting("\n".join(turns), tuple(one["query"] for one in asked)))
    return meetings


def _measured(folder: Path, meetings: Sequence[Meeting]) -> dict[str, Any]:
    policy = folder / "policy.toml"
    names = ("sandbox", "routing", "open_weight", "frontier")
    system = System(folder, policy=policy, processes=names, environ={"SANDBOX_KEY": "a-key"})
    policy.write_text(_POLICY.format(port=system.sandbox_port, window=WINDOW), encoding="utf-8")
    with system:
        os.environ.update(system.environ)
        return {
            "pieces": _asked(system, meetings, _of_pieces),
            "whole": _asked(system, meetings, _of_whole),
        }


Found = tuple[int, int]
"""Quotations of an answer, and how many of them stand in the transcript."""


def _of_pieces(meeting: Meeting, question: str) -> Callable[[], Found]:
    asked = ask_document(
        meeting.text, question, characters=CHARACTERS, split="always", risk="internal"
    )

    def found() -> Found:
        citations = asked.get(timeout=_PATIENCE_SECONDS).citations
        said = [meeting.text[one.start : one.end].split() for one in citations]
        stand = sum(
            one.quotation.split() == words for one, words in zip(citations, said, strict=True)
        )
        return len(citations), stand

    return found


def _of_whole(meeting: Meeting, question: str) -> Callable[[], Found]:
    asked = ask.delay(meeting.text, question, risk="internal")

    def found() -> Found:
        quotations = asked.get(timeout=_PATIENCE_SECONDS).output.quotations
        return len(quotations), sum(place(meeting.text, said) is not None for said in quotations)

    return found


def _asked(
    system: System,
    meetings: Sequence[Meeting],
    ask_one: Callable[[Meeting, str], Callable[[], Found]],
) -> dict[str, float]:
    began, log = time.monotonic(), _Log(system)
    asked = [ask_one(meeting, said) for meeting in meetings for said in meeting.questions]
    answers: list[Found] = []
    for found in asked:
        try:
            answers.append(found())
        except (TierqueueError, ChordError) as error:
            say(f"no answer: {type(error).__name__}")
    citations = sum(count for count, _ in answers)
    return {
        "answered_share": len(answers) / len(asked),
        "citations": citations,
        "found_share": sum(stand for _, stand in answers) / max(citations, 1),
        "seconds": round(time.monotonic() - began, 1),
        **log.since(),
    }


class _Log:
    """What the sandbox has served since: calls, tokens, and dollars by its own prices."""

    def __init__(self, system: System) -> None:
        self._path = system.sandbox_log
        self._before = len(self._lines())

    def since(self) -> dict[str, float]:
        lines = [json.loads(line) for line in self._lines()[self._before :]]
        names = ("input_tokens", "cached_tokens", "output_tokens")
        return {
            "calls": len(lines),
            **{name: sum(line[name] for line in lines) for name in names},
            "dollars": round(sum(line["cost_nanousd"] for line in lines) / 1e9, 4),
        }

    def _lines(self) -> list[str]:
        if not self._path.exists():
            return []
        return self._path.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    main()
