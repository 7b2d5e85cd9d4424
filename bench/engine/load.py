"""The load of the engine bench: a task type whose answers have a fixed length."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from bench.texts.tickets import LABELS, ticket
from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.prompt import Prompt

TASK = "bench.note"
DEPLOYMENT = "own"
AROUND = len('{"note":""}') + 1
"""Tokens of an answer beside its letters where a byte is a token: its JSON, and the end."""


@lru_cache(maxsize=16)
def _model(letters: int) -> type[BaseModel]:
    text = Annotated[str, Field(pattern=f"^[a-z]{{{letters}}}$")]
    fields: dict[str, Any] = {"note": (text, ...)}
    return create_model("Note", __config__=ConfigDict(extra="forbid"), **fields)


def _output(arguments: Mapping[str, Any]) -> type[BaseModel]:
    return _model(arguments["tokens"] - AROUND)


@item_task(TASK, output=_output, output_limit=256)
def note(question: str, tokens: int, document: str = "") -> Prompt:
    """A note of exactly ``tokens`` output tokens: the grammar ends it, whatever the model is."""
    return Prompt(
        system="You keep the notes of a support desk.",
        prefix=document or "Queues: " + ", ".join(LABELS) + "\n",
        question=f"{question}\nIn {tokens} tokens.",
    )


def rows(count: int, tokens: int, salt: str) -> list[dict[str, Any]]:
    """The arguments of ``count`` tickets; ``salt`` keeps one run's from an earlier one's."""
    return [{"question": f"{salt} {ticket(at)}", "tokens": tokens} for at in range(count)]
