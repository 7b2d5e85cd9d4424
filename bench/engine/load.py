"""What is asked in this bench: a task type whose answers have a fixed length, and its calls."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from bench.tickets import LABELS, ticket
from tierqueue.ledger.lifecycle.claims import Claim
from tierqueue.ledger.records import Fence, Item
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.prompt import Prompt
from tierqueue.workers.caller import prepare
from tierqueue.workers.engines.engine import Call

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


def call_of(policy: Policy, arguments: dict[str, Any]) -> Call:
    """The call that a worker makes of a row."""
    fixed: dict[str, Any] = {
        **dict.fromkeys(Item._fields),
        "id": "bench",
        "task": TASK,
        "output_limit": 256,
        "sensitivity": "internal",
        "fence": 0,
        "calls": 0,
    }
    claim = Claim(
        item=Item(**fixed),
        arguments=note.checked_arguments((), arguments),
        fence=Fence(1),
        held=NanoUSD(0),
        balances=(),
        started_at=0,
    )
    call = prepare(policy.deployments[DEPLOYMENT], claim, note)
    assert isinstance(call, Call), call
    return call
